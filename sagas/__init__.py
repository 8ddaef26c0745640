"""What a saga is and how it moves."""
