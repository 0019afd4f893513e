"""The whole script on its way back into a database."""
