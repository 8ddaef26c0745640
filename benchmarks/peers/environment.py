"""
What the peers need, in .venv-bench: `python -m benchmarks.peers.environment` makes it, once.

Restate's server comes from npm (its licence, BSL 1.1, allows this use); where there is no npm, it is left out, and the
bench says so.
"""

import shutil
import subprocess
import sys
from pathlib import Path

FOLDER = Path(".venv-bench")
PYTHON = FOLDER / "bin" / "python"
RESTATE_PACKAGE = "@restatedev/restate-server@1.7.12"
_REQUIREMENTS = Path(__file__).with_name("requirements.txt")


class Missing(Exception):
    """This peer cannot be measured here; the message says why."""


def make() -> None:
    """
    Install what is not there yet.

    :raises subprocess.CalledProcessError: if pip cannot
    """
    made = FOLDER / "made"
    npm = shutil.which("npm")
    wanted = _REQUIREMENTS.read_text() + (RESTATE_PACKAGE if npm else "no npm")
    if made.exists() and made.read_text() == wanted:
        return
    subprocess.run([sys.executable, "-m", "venv", str(FOLDER)], check=True)
    subprocess.run([str(PYTHON), "-m", "pip", "--quiet", "install", "-r", str(_REQUIREMENTS)], check=True)
    if npm:
        flags = ("--no-audit", "--no-fund", "--silent", "--ignore-scripts", "--prefix", str(FOLDER))
        if subprocess.run([npm, "install", *flags, RESTATE_PACKAGE], check=False).returncode:
            return  # tried again the next time; the others can be measured
    made.write_text(wanted)


def restate() -> Path:
    """
    The server's program.

    :raises Missing: if npm has not brought it
    """
    found = next(FOLDER.glob("node_modules/@restatedev/restate-server-*/bin/restate-server"), None)
    if found is None:
        raise Missing("Restate's server comes from npm, which is not here, or could not fetch it")
    return found.resolve()


if __name__ == "__main__":
    make()
