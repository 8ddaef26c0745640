"""The own fleet: a delivery provider like any other, whose book is a table of ours."""
