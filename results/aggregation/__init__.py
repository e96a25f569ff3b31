"""From records to cells of tables: joined by identities, grouped, named and selected."""
