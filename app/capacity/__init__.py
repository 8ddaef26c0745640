"""
Capacity: how many orders a kitchen, a zone, a channel or a delivery partner takes in a window.

Truth in Postgres, a hot copy (the ledger) in Redis.
"""
