"""The command line, as a user calls it."""

import os
import subprocess
import sys
from pathlib import Path


class Uoop:
    """The command line on one home."""

    def __init__(self, home: Path, **settings: str) -> None:
        self.home = home
        self._env = {name: value for name, value in os.environ.items() if not name.startswith("UOOP_")}
        self._env |= {"UOOP_HOME": str(home), "UOOP_PORT": "0", **settings}

    def start(self, *arguments: str) -> "subprocess.Popen[str]":
        """Run a command beside the test."""
        return subprocess.Popen(
            [sys.executable, "-m", "infra.cli", *arguments],
            env=self._env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def __call__(self, *arguments: str, within_s: float = 180) -> "subprocess.CompletedProcess[str]":
        """Run a command to its end."""
        with self.start(*arguments) as running:
            out, err = running.communicate(timeout=within_s)
        return subprocess.CompletedProcess(arguments, running.returncode, out, err)
