"""The life of a delivery after its order is confirmed: what is reported of it, and what follows from that."""
