"""Where the wheels keep their binaries. The packages are found but not imported: importing them acts."""

import importlib.util
import os
from pathlib import Path

from infra.embedded.errors import CannotEmbed


def find(package: str, *paths: str, instead: str) -> Path:
    """
    The first of ``paths`` inside the package that is an executable file.

    :param instead: the variable that names an external server
    :raises CannotEmbed: if the package or its binary is missing, as on platforms without a wheel
    """
    spec = importlib.util.find_spec(package)
    for folder in (spec.submodule_search_locations if spec else None) or ():
        for path in paths:
            binary = Path(folder, path)
            if os.access(binary, os.X_OK):
                return binary
    name = Path(paths[0]).name
    raise CannotEmbed(
        problem=f"{name} is missing from the {package} package on this platform",
        remedy=f"run `make setup` again or set {instead}",
    )
