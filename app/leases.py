"""Leases in Postgres, by its clock: who may do a thing of which there must be one, with a fence that only rises."""

from sqlalchemy import Connection, text

from app import errors


class LeaseLost(errors.Conflict):
    """Somebody else holds the lease now."""

    code = "lease-lost"


def take(connection: Connection, name: str, *, holder: str, for_s: float) -> int | None:
    """
    Take or prolong a lease.

    :return: its fence, which rises when the holder changes; None if another holds it
    """
    row = connection.execute(
        text("""
            INSERT INTO leases AS l (name, holder, fence, expires_at)
            VALUES (:name, :holder, 1, clock_timestamp() + make_interval(secs => :for_s))
            ON CONFLICT (name) DO UPDATE SET holder = excluded.holder, expires_at = excluded.expires_at,
                fence = l.fence + (l.holder <> excluded.holder)::int
            WHERE l.holder = excluded.holder OR l.expires_at < clock_timestamp()
            RETURNING fence
        """),
        {"name": name, "holder": holder, "for_s": for_s},
    ).one_or_none()
    return None if row is None else int(row.fence)


def check(connection: Connection, name: str, *, fence: int) -> None:
    """
    Keep the lease from changing hands until this transaction ends.

    :raises LeaseLost: if it has changed hands
    """
    held = connection.execute(
        text("SELECT FROM leases WHERE name = :name AND fence = :fence FOR SHARE"),
        {"name": name, "fence": fence},
    )
    if held.one_or_none() is None:
        raise LeaseLost(name=name)


def release(connection: Connection, name: str, *, holder: str) -> None:
    """Let others take it at once."""
    connection.execute(
        text("UPDATE leases SET expires_at = '-infinity' WHERE name = :name AND holder = :holder"),
        {"name": name, "holder": holder},
    )
