"""
A stack on real Postgres and Redis with stand-ins for the platform's own processes; run as a program.

Each stand-in writes what happens to it into the home's file ``story``; ``STAND_IN`` says how one misbehaves.
"""

import os
import sys
import time
from functools import partial

from app import errors
from infra import kept, running
from infra.settings import Settings
from infra.supervisor import Process, readiness

STORY = """
import os, pathlib, signal, subprocess, sys, time
def tell(what):
    with pathlib.Path(os.environ["UOOP_HOME"], "story").open("a") as story:
        story.write(what + "\\n")
"""
WEB = (
    STORY
    + """
import threading
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
server = ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), SimpleHTTPRequestHandler)
signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=server.shutdown).start())
tell("web began")
server.serve_forever()
tell("web ended")
"""
)
WORKER = (
    STORY
    + """
subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], start_new_session=True)
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
def drain(*_):
    time.sleep(0.3)
    tell("worker drained")
    child.kill()
    sys.exit()
signal.signal(signal.SIGTERM, drain)
tell("worker began")
while True: time.sleep(60)
"""
)
DEAF = STORY + "signal.signal(signal.SIGTERM, signal.SIG_IGN); tell('worker began'); time.sleep(600)"
BROKEN = "import sys; sys.exit('broken for good')"
PREPARE = STORY + "tell('prepared')"


def stand_ins(settings: Settings) -> tuple[Process, ...]:
    python = (sys.executable, "-c")
    env = dict(os.environ) | settings.environment()
    worker = {"deaf": DEAF, "broken": BROKEN}.get(os.environ.get("STAND_IN", ""), WORKER)
    web_ready = partial(readiness.http_ok, kept.LOOPBACK, settings.port, "/")
    return (
        Process(name="prepare", command=(*python, PREPARE), env=env, stage=1, stop_stage=0, once=True),
        Process(
            name="web",
            command=(*python, WEB, str(settings.port)),
            env=env,
            stage=2,
            stop_stage=0,
            stop_share=0.3,
            port=settings.port,
            ready=web_ready,
        ),
        Process(
            name="worker",
            command=(*python, worker),
            env=env,
            stage=2,
            stop_stage=1,
            stop_share=0.6,
            worker=True,
            ready=lambda: "worker began" in (settings.home / "story").read_text(),
        ),
    )


def main() -> None:
    settings = Settings.load()

    def tell(line: str, *_: object) -> None:
        with (settings.home / "story").open("a") as story:
            story.write(line + "\n")

    try:
        running.up(
            settings,
            processes=stand_ins,
            on_unclean_worker_death=lambda *_: tell("messages may be lost"),
            on_ready=lambda _: tell(f"ready at {time.time()}"),
        )
    except errors.UoopError as error:
        sys.stderr.write(f"{error}\n")
        sys.exit(2)


if __name__ == "__main__":
    main()
