"""The HTTP shells: a view parses, calls one function and answers."""
