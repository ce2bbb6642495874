"""In which cycle every beat passes, and how deep FIFOs must be for that."""
