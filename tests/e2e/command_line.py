"""The command line against one home, run as its users run it."""

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

RUN_WITHIN_S = 150


@dataclass(frozen=True, slots=True)
class Running:
    """A home, and its command line."""

    home: Path

    def uoop(
        self, *arguments: str, given: str = "", within_s: float = RUN_WITHIN_S
    ) -> subprocess.CompletedProcess[str]:
        """Run the command to its end; ports are chosen by it, and no setting comes from outside."""
        environment = {name: value for name, value in os.environ.items() if not name.startswith("UOOP_")}
        return subprocess.run(
            [sys.executable, "-m", "infra.cli", *arguments],
            env=environment | {"UOOP_HOME": str(self.home), "UOOP_PORT": "0", "COLUMNS": "140"},
            input=given,
            capture_output=True,
            text=True,
            timeout=within_s,
            check=False,
        )
