"""A live Supabase project: its database, its Storage and Auth servers, and one instant of it."""
