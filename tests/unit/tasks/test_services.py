"""What tasks call belongs to one process."""

import itertools
import os
from typing import Any

from tasks import base


def test_a_forked_process_makes_its_own_services_and_its_parent_keeps_its() -> None:
    numbers = itertools.count()
    app: Any = base.application(lambda: next(numbers), broker_url="memory://")  # type: ignore[arg-type, return-value]
    own: Any = base.made(app)
    reading, writing = os.pipe()

    child = os.fork()
    if child == 0:
        os.write(writing, str(base.made(app)).encode())
        os._exit(0)
    os.waitpid(child, 0)

    assert (os.read(reading, 1), base.made(app)) == (b"1", own)
