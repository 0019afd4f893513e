"""What acts by itself, is put to sleep by a restore, and wakes when somebody says so."""
