"""The comparison of our books with the providers' own lists; what differs is kept until a person resolves it."""
