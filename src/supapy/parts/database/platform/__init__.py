"""What is the platform's: its own things, what users added to them, what its extensions keep (queues, the vault)."""
