"""The pipeline: a file per stage, over rooms of libraries; CONTRIBUTING.md has the map."""
