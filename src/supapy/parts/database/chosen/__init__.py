"""Some tables instead of all: saved, restored, or laid beside as copies."""
