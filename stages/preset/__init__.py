"""Command `preset`: settings that go together, written into `params.yaml`."""
