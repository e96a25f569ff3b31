"""What commands share: the frame around Hydra, progress bars, printing, and the flow of a run."""
