"""What a client of the REST API needs: ask, retry with the same key, read the answer."""
