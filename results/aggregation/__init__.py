"""From records to the cells of tables: joined, grouped, named and selected."""
