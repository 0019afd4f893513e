"""What becomes of each thing: what is the user's to bring back, and what can't come back as it was."""
