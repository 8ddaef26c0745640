"""A partner who goes down in the middle of a run."""

import pytest
from typer.testing import CliRunner

from infra.cli import app
from infra.demo.mishap import PartnerDown


class Told(PartnerDown):
    """Keeps what it would tell the sandbox."""

    def __init__(self, share, orders, home) -> None:
        super().__init__(home, "swift", share=share, orders=orders)
        self.told = []

    def _tell(self, behavior) -> None:
        self.told.append(behavior)


def test_he_goes_down_after_that_share_and_comes_back_when_all_is_sent(tmp_path):
    mishap, seen = Told(0.5, 10, tmp_path), []
    for accepted in (0, 4, 5, 9, 10, 10):
        mishap.look(accepted)
        seen.append(list(mishap.told))

    down = {"behavior": "down"}
    assert seen == [[], [], [down], [down], [down, None], [down, None]]


def test_he_comes_back_also_when_the_run_breaks_off(tmp_path):
    mishap = Told(0.0, 10, tmp_path)
    mishap.look(1)
    mishap.end()
    mishap.end()

    assert mishap.told == [{"behavior": "down"}, None]


@pytest.mark.parametrize("told", ["swift", "swift@", "swift@1", "@0.5", "swift@-1", "swift@half"])
def test_when_and_who_must_be_told(told):
    answer = CliRunner().invoke(app, ["demo", "--partner-down", told])

    assert answer.exit_code == 2
