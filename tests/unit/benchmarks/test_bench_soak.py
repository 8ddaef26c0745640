"""What the soak calls growth."""

import pytest

from benchmarks.parts import soak


@pytest.mark.parametrize(
    ("name", "looks", "expected"),
    [
        ("api", [(100.0, 50)] * 9, []),
        ("api", [(10.0, 5)] * 3 + [(100.0, 50)] * 6, []),  # the first third warms up
        ("api", [(100.0, 50)] * 6 + [(120.0, 50)] * 3, ["api: memory grew from 100 to 120 MB"]),
        ("redis", [(100.0, 50)] * 6 + [(200.0, 50)] * 3, []),  # its data are not ours to judge
        ("redis", [(100.0, 50)] * 6 + [(100.0, 90)] * 3, ["redis: open files grew from 50 to 90"]),
    ],
)
def test_what_grows_is_told(name, looks, expected):
    assert soak._grown({name: soak._growth(looks)}) == expected
