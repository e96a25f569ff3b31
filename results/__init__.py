"""Everything measured: the store, aggregation, tables, figures and published numbers. Never imports torch."""
