"""Condensation methods: the `Condenser` interface, the registry, a file for each method, the published settings."""
