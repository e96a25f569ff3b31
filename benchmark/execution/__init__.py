"""Running one task: its steps, checkpoints and interruption, and the record that it writes."""
