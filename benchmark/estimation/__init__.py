"""What a plan will take, from a few probed steps: seconds, memory, disk; and time budgets."""
