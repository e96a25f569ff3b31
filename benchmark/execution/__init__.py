"""How one task is run: step by step, with checkpoints, interruption, and the record it leaves."""
