"""Orders: what a client submits, what became of it."""
