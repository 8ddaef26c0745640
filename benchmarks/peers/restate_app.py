"""Restate's Python SDK: an ASGI application, served by hypercorn as its documentation says."""

import os
from pathlib import Path

import restate

from benchmarks.peers import lines

ENDED = lines.ended(Path(os.environ["BENCH_FOLDER"]))

orders = restate.Service("Orders")


async def nothing() -> None:
    pass


async def dispatch(name: str) -> None:
    if lines.is_refused(name):
        raise restate.TerminalError("refused")


async def confirm(name: str) -> None:
    ENDED.append(name, lines.CONFIRMED)


async def release(name: str) -> None:
    ENDED.append(name, lines.FAILED)


@orders.handler()
async def fulfil(ctx: restate.Context, name: str) -> None:
    await ctx.run_typed("validate", nothing)
    await restate.gather(ctx.run_typed("reserve", nothing), ctx.run_typed("authorize", nothing))
    try:
        await ctx.run_typed("dispatch", dispatch, name=name)
    except restate.TerminalError:
        await ctx.run_typed("void", nothing)
        await ctx.run_typed("release", release, name=name)
    else:
        await ctx.run_typed("confirm", confirm, name=name)


app = restate.app(services=[orders])
