"""database.sql: its segments, and the statements that make each thing."""
