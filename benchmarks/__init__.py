"""Measurements, each a script that says what it measures."""
