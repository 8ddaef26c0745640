"""The business of UOOP: orders, runs, capacity, events. Knows neither Flask nor Celery."""
