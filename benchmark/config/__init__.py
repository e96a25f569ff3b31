"""What commands can be asked for: the dataclasses of their options, composed by Hydra and checked once."""
