"""The options of commands: dataclasses that Hydra fills, and that are checked once."""
