"""One action and its compensation per file."""
