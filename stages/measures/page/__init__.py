"""The report page: what it reads, its drawings, its HTML."""
