"""
The API's server: `python -m infra.http_server infra.api:served`, by the settings.

With `UOOP_API_WORKERS` above one, a parent starts so many processes on one socket, and anew what dies of them.
"""

import resource
import sys
from contextlib import suppress

import uvicorn
from uvicorn.supervisors import Multiprocess

from infra import logs
from infra.settings import Settings
from web.connections import IDLE_S, MOST, Connection

_SILENT_S = 30  # a process that does not answer its parent for so long is started anew


def main() -> None:
    """Serve the ASGI application named until told to stop."""
    settings = Settings.load()
    logs.configure(settings.log_level)
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))  # a connection is an open file
    config = uvicorn.Config(
        sys.argv[1],
        host=settings.host,
        port=settings.port,
        workers=settings.api_workers,
        http=Connection,
        ws="none",
        lifespan="on",
        interface="asgi3",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        backlog=MOST,
        timeout_keep_alive=IDLE_S,
        timeout_worker_healthcheck=_SILENT_S,
    )
    with suppress(KeyboardInterrupt):  # how the server ends that was told to stop
        if config.workers > 1:
            Multiprocess(config, [config.bind_socket()]).run()
        else:
            uvicorn.Server(config).run()


if __name__ == "__main__":
    main()
