"""
Capacity: how many orders a kitchen, a zone or a channel takes in a window.

Truth in Postgres, a hot copy (the ledger) in Redis.
"""
