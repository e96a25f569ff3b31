"""Helpers of every package: errors, seeds, timing, tensor files, schedules."""
