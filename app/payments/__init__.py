"""What customers have paid, and what was given back to them, by our books."""
