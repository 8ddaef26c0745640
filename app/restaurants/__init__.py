"""Restaurants: where they are and what they take. One that nobody told us of is accepted with defaults."""
