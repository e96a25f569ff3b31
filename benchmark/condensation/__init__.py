"""What a method works on and what it makes: the condensation problem, and synthetic sets on disk."""
