"""
Real Postgres and real Redis from the binaries inside wheels: no root, no Docker, no system packages.

Each module prepares a server's folder and says which command runs it in the foreground; nothing here stays
running. Only binaries are taken from the wheels: their own start-up would add a system user and open folders.
"""
