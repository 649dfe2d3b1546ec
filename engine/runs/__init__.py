"""What a run leaves on disk: its folder, checkpoints and progress; files that are whole, and locks."""
