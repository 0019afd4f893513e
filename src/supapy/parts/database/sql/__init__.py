"""SQL as text: blocks of it (*.sql), values written as it, what pg_dump's archive says, how a server spells it."""
