"""On the path of a platform under test: sets the clock of a process that a file names wrong by so many seconds."""

import os
from contextlib import suppress
from pathlib import Path

with suppress(KeyError, FileNotFoundError):
    seconds = float((Path(os.environ["FAULT_CLOCKS"]) / os.environ["_UOOP_CHILD_NAME"]).read_text())

    from datetime import UTC, datetime, timedelta

    import time_machine

    time_machine.travel(datetime.now(UTC) + timedelta(seconds=seconds)).start()
