"""
DBOS: the process that takes an order runs its workflow: `python -m benchmarks.peers.dbos_app EXECUTOR`.

Several such processes share one Postgres. Each submits what its standard input says. Started again under the same name,
it takes up what it had not ended.
"""

import asyncio
import os
import sys
import threading
from pathlib import Path

from dbos import DBOS, SetWorkflowID

from benchmarks.peers import lines
from benchmarks.peers.lines import Refused

FOLDER = Path(os.environ["BENCH_FOLDER"])
EXECUTOR = sys.argv[1]
ENDED = lines.ended(FOLDER, EXECUTOR)


@DBOS.step()
async def validate(name: str) -> None:
    pass


@DBOS.step()
async def reserve(name: str) -> None:
    pass


@DBOS.step()
async def authorize(name: str) -> None:
    pass


@DBOS.step()
async def dispatch(name: str) -> None:
    if lines.is_refused(name):
        raise Refused


@DBOS.step()
async def confirm(name: str) -> None:
    ENDED.append(name, lines.CONFIRMED)


@DBOS.step()
async def void(name: str) -> None:
    pass


@DBOS.step()
async def release(name: str) -> None:
    ENDED.append(name, lines.FAILED)


@DBOS.workflow()
async def fulfil(name: str) -> None:
    await validate(name)
    await asyncio.gather(reserve(name), authorize(name), return_exceptions=True)
    try:
        await dispatch(name)
    except Refused:
        await void(name)
        await release(name)
    else:
        await confirm(name)


async def _start(name: str) -> None:
    with SetWorkflowID(name):
        await DBOS.start_workflow_async(fulfil, name)


async def main() -> None:
    loop = asyncio.get_running_loop()
    DBOS(
        config={
            "name": "peer",
            "system_database_url": os.environ["BENCH_DATABASE"],
            "executor_id": EXECUTOR,
            "application_version": "1",
            "log_level": "ERROR",
        }
    )
    DBOS.launch()
    (FOLDER / f"ready{EXECUTOR}").touch()

    def submit(name: str) -> None:
        asyncio.run_coroutine_threadsafe(_start(name), loop).result()

    taken = lines.submitted(FOLDER)
    listener = threading.Thread(target=lambda: lines.listen(submit, taken, ENDED, threads=8))
    listener.start()
    while listener.is_alive():
        await asyncio.sleep(0.2)


if __name__ == "__main__":
    asyncio.run(main())
