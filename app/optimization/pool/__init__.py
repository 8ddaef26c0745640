"""Which courier of the own fleet fetches what, and when he must leave: a pure function from a pool to a plan."""
