"""The one door out: events are written with the change they tell of, then put in order, then published."""
