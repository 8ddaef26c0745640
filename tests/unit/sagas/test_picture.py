"""Pictures of the sagas: drawn from the definitions, and the docs show them as they are."""

from pathlib import Path
from xml.etree import ElementTree

import pytest

from sagas import picture
from sagas.all import SAGAS
from sagas.definition import Saga

ALL = [pytest.param(saga, id=saga.name) for saga in SAGAS]
DOCS = Path(__file__).parents[3] / "docs" / "sagas"


@pytest.mark.parametrize("saga", ALL)
def test_a_picture_names_every_step_and_its_undoing(saga: Saga) -> None:
    drawn = "".join(ElementTree.fromstring(picture.svg(saga)).itertext())

    for step in saga.steps:
        assert step.name in drawn
        assert (step.compensation.__name__ if step.compensation else step.no_compensation or "") in drawn


@pytest.mark.parametrize("saga", ALL)
def test_a_picture_asks_for_nothing_from_outside(saga: Saga) -> None:
    drawn = picture.svg(saga).replace("http://www.w3.org/2000/svg", "")

    assert "://" not in drawn
    assert "href" not in drawn


@pytest.mark.parametrize("saga", ALL)
def test_the_docs_show_the_saga_as_it_is(saga: Saga) -> None:
    assert (DOCS / f"{saga.name}.svg").read_text() == picture.svg(saga)
