"""Secrets by which the platform knows its own writing again; made by the migration, the same for every process."""

from sqlalchemy import Connection, text


def of_cursors(connection: Connection) -> bytes:
    """Signs places in lists, 32 bytes."""
    found = connection.execute(text("SELECT secret FROM signing_secrets WHERE name = 'cursors'"))
    return bytes(found.scalar_one())
