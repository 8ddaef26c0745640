"""How much a key and a tenant may ask of the platform."""
