"""How the platform is run: composition roots, command line, embedded stack, supervisor, sandbox."""
