"""``python -m infra.cli``, for where the command is not on the path."""

from infra.cli import main

main()
