"""A local Supabase project: real PostgreSQL underneath, a server that answers as Storage and Auth do in front of it."""
