"""What partners and restaurants tell of their own accord: signed messages, each translated into reports."""
