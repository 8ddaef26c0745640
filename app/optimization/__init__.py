"""Who delivers what: a pure function from a problem to a plan."""
