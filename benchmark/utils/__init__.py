"""What every package of the benchmark stands on: errors, seeds, timing, tensor files, schedules."""
