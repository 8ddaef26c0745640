"""The schema's history. Upgrades run under one advisory lock, so that many starting processes may call them."""

from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy import Engine, text

_LOCK = 7_305_001  # any constant: whoever migrates this database takes the same lock


def upgrade(engine: Engine, revision: str = "head") -> None:
    """Bring the schema to `revision`; harmless when it is there already."""
    _run(engine, command.upgrade, revision)


def downgrade(engine: Engine, revision: str) -> None:
    """Take the schema back to `revision` ("base" removes everything)."""
    _run(engine, command.downgrade, revision)


def _run(engine: Engine, action: object, revision: str) -> None:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent))
    with engine.connect() as connection:
        connection.execute(text("SELECT pg_advisory_lock(:lock)"), {"lock": _LOCK})
        connection.execute(text("SET lock_timeout = '4s'"))
        connection.commit()
        try:
            config.attributes["connection"] = connection
            action(config, revision)  # type: ignore[operator]
            connection.commit()
        finally:
            connection.rollback()
            connection.execute(text("RESET lock_timeout"))
            connection.execute(text("SELECT pg_advisory_unlock(:lock)"), {"lock": _LOCK})
            connection.commit()
