"""What was measured: the store, aggregation, tables, and the numbers that papers published. Never imports torch."""
