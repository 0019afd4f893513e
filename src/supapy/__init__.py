"""Back up and restore a whole Supabase project: database, storage files and auth users."""

__version__ = "0.1.0"
