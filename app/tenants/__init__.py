"""Who the platform works for, and by which keys they come in."""
