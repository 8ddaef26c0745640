import pytest

from web import pacing


@pytest.mark.parametrize(
    ("age_s", "chance", "seconds"),
    [
        (-5, 0.5, 1),
        (0, 0, 1),
        (2, 0.99, 1),
        (8, 0, 3),
        (8, 1, 5),
        (60, 0.5, 30),
        (3600, 0, 22),
        (3600, 1, 38),
    ],
)
def test_what_takes_long_is_asked_for_seldom(age_s, chance, seconds):
    assert pacing.retry_after_s(age_s, chance) == seconds
