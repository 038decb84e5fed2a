"""What a run consists of: the rows of its table, and what each stage depends on."""
