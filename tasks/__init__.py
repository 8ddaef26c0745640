"""Celery shells: each task is one call."""
