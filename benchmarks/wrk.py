"""Orders by wrk, where it is installed: a load generator that others know, beside ours."""

import json
import os
import shutil
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.ground import Ground
from infra.demo import city

CONNECTIONS, BODIES = 256, 500

_SCRIPT = """
local bodies = {%s}
local run, n = "%s", 0
function request()
  n = n + 1
  return wrk.format("POST", "/v1/orders", {
    ["Host"] = "x", ["Authorization"] = "Bearer %s", ["Content-Type"] = "application/json",
    ["Idempotency-Key"] = run .. "-" .. n,
  }, bodies[n %% #bodies + 1])
end
function done(summary, latency, _)
  local e = summary.errors
  io.write(string.format('\\n{"answers": %%d, "took_us": %%d, "not_2xx": %%d, "lost": %%d, ',
    summary.requests, summary.duration, e.status, e.connect + e.read + e.write + e.timeout))
  io.write(string.format('"p50_us": %%d, "p99_us": %%d}', latency:percentile(50), latency:percentile(99)))
end
"""


def accepted(running: Ground, seconds: float) -> dict[str, Any] | None:
    """
    Single POSTs in a closed loop by one thread of wrk; None where it is not installed.

    :return: `rps`, `p50_ms`, `p99_ms`, how many answers were `not_2xx`, and wrk's own `cpu_us` a request
    """
    program = shutil.which("wrk")
    if program is None:
        return None
    with tempfile.TemporaryDirectory() as folder:
        script = Path(folder) / "orders.lua"
        script.write_text(_script(running))
        before = sum(os.times()[2:4])
        done = subprocess.run(
            [
                *(program, "-t1", f"-c{CONNECTIONS}", f"-d{max(1, round(seconds))}s", "-s", str(script)),
                f"http://{running.settings.host}:{running.settings.port}",
            ],
            capture_output=True,
            text=True,
            check=True,
        )
        cpu_s = sum(os.times()[2:4]) - before
    told = json.loads(done.stdout.splitlines()[-1])
    return {
        "rps": round((told["answers"] - told["not_2xx"]) / told["took_us"] * 1e6, 1),
        "p50_ms": told["p50_us"] / 1e3,
        "p99_ms": told["p99_us"] / 1e3,
        "not_2xx": told["not_2xx"],
        "lost": told["lost"],
        "cpu_us": round(cpu_s / max(told["answers"], 1) * 1e6, 1),
    }


def _script(running: Ground) -> str:
    bodies = ",\n".join(f"[==[{order.body.decode()}]==]" for order in city.orders(running.city, BODIES))
    return _SCRIPT % (bodies, time.time_ns(), running.token)
