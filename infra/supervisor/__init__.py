"""
Keeps the platform's processes running on one machine, in the foreground.

process    what to run, as data             child      one process while it lives, dies and is restarted
loop       the supervisor itself            remains    what a killed supervisor left, and its removal
state      the home's lock and state file   logs       one bounded log per process
readiness  checks that a process answers    backoff    how long to wait after a death
"""

from infra.supervisor.loop import Supervisor
from infra.supervisor.process import Process, Trace

__all__ = ["Process", "Supervisor", "Trace"]
