"""What a plan will cost, from a few probed steps: seconds, memory and disk; and iterations within a time budget."""
