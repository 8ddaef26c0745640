"""What is installed is what was reviewed: pinned by hashes, and under licences that let the product be passed on."""

import re
from importlib import metadata
from pathlib import Path

import pytest
from packaging.markers import default_environment
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
LOCKS = ("requirements.lock", "requirements-dev.lock")
_COPYLEFT = re.compile(r"\b(A?GPL|Affero|GNU General Public)", re.IGNORECASE)
_LESSER = re.compile(r"LGPL|Lesser|Library General", re.IGNORECASE)


def pins(lock: str) -> dict[str, str]:
    """Each requirement of a lock with its lines."""
    blocks = re.split(r"\n(?=\S)", (ROOT / lock).read_text().replace("\\\n", " "))
    wanted = [block.strip() for block in blocks if block.strip() and not block.startswith("#")]
    return {canonicalize_name(Requirement(block.partition("--hash")[0]).name): block for block in wanted}


@pytest.mark.parametrize("lock", LOCKS)
def test_every_dependency_is_pinned_by_hashes(lock: str) -> None:
    loose = [name for name, block in pins(lock).items() if "==" not in block or "--hash=sha256:" not in block]

    assert loose == []


def test_what_is_installed_is_as_it_is_pinned() -> None:
    environment = {key: str(value) for key, value in default_environment().items()}
    found = {}
    for name, block in pins("requirements.lock").items():
        wanted = Requirement(block.partition("--hash")[0])
        if wanted.marker is None or wanted.marker.evaluate(environment):
            found[name] = wanted.specifier.contains(metadata.version(name), prereleases=True)

    assert [name for name, is_pinned in found.items() if not is_pinned] == []


def test_no_dependency_binds_who_passes_the_product_on() -> None:
    bound = [
        name
        for name in pins("requirements.lock")
        if any(_COPYLEFT.search(told) and not _LESSER.search(told) for told in licences(name))
    ]

    assert bound == []


def licences(name: str) -> list[str]:
    """What a distribution says of its licence in one line; none when it is not for this machine."""
    try:
        told = metadata.metadata(name)
    except metadata.PackageNotFoundError:
        return []
    classifiers = [each for each in told.get_all("Classifier", []) if each.startswith("License")]
    return [*classifiers, *told.get_all("License-Expression", []), *(told.get_all("License", []) or [])[:1]]
