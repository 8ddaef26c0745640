"""Capacity: how many orders a kitchen takes in a window. Truth in Postgres, a hot copy (the ledger) in Redis."""
