"""The rows that are saved: of which tables, kept as they are meanwhile, read in the order of loading."""
