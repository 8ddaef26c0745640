"""
Runs a command as an ordinary user without there being one.

Postgres refuses to run as root, and initdb wants its user to have a name. A user namespace of one line maps
us to a named user inside it: outside nothing changes, files stay ours and folders stay closed.

    python disguise.py COMMAND...
"""

import ctypes
import os
import pwd
import sys
from pathlib import Path

_CLONE_NEWUSER = 0x1000_0000


def command(arguments: list[str]) -> list[str]:
    """The same command, behind this module where it is needed: as root, or as a user without a name."""
    if os.geteuid() and any(user.pw_uid == os.geteuid() for user in pwd.getpwall()):
        return arguments
    return [sys.executable, "-I", "-S", __file__, *arguments]


def _put_on() -> None:
    """
    Enter the namespace; must run in a process of one thread.

    :raises OSError: if the system allows no user namespaces
    """
    user = next(user for user in pwd.getpwall() if user.pw_uid)
    outside_user, outside_group = os.geteuid(), os.getegid()
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(_CLONE_NEWUSER):
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    Path("/proc/self/setgroups").write_text("deny")
    Path("/proc/self/uid_map").write_text(f"{user.pw_uid} {outside_user} 1")
    Path("/proc/self/gid_map").write_text(f"{user.pw_gid} {outside_group} 1")


if __name__ == "__main__":
    try:
        _put_on()
    except (OSError, AttributeError) as error:
        sys.exit(f"no user namespace: {error}")
    os.execv(sys.argv[1], sys.argv[1:])  # noqa: S606 - no shell is what we want
