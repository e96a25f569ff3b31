"""The players: the `Condenser` contract, the registry, one short file for each method, the papers' settings."""
