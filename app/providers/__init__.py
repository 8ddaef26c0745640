"""The other sides: the port they are asked through and the adapters that ask."""
