"""A front door with fakes behind it, reached over HTTP."""

import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from werkzeug.serving import make_server

sys.path.insert(0, str(Path(__file__).parents[1] / "web"))

from fake_platform import Platform

from web.app import create_app


@pytest.fixture
def platform() -> Platform:
    return Platform()


@pytest.fixture
def address(platform: Platform) -> Iterator[str]:
    server = make_server("127.0.0.1", 0, create_app(platform.services()), threaded=True)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield f"http://127.0.0.1:{server.port}"
    server.shutdown()
    thread.join()
    server.server_close()
