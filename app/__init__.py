"""The business: what an order is and what may happen to it. Knows neither Flask nor Celery."""
