"""picture: a saga drawn from its definition."""

from typing import Annotated

import typer

from app import errors
from sagas import picture as pictures
from sagas.all import SAGAS


class NoSaga(errors.NotFound):
    """There is no such saga."""

    code = "no-saga"

    def __str__(self) -> str:
        return f"no saga is called {self.data['name']}: there are {self.data['known']}"


def register(app: typer.Typer) -> None:
    """Add this group's commands."""
    app.command()(picture)


def picture(name: Annotated[str, typer.Argument(help="Of the saga, such as fulfill-order.")]) -> None:
    """Print a picture of a saga, as SVG."""
    for saga in SAGAS:
        if saga.name == name:
            print(pictures.svg(saga), end="")
            return
    raise NoSaga(name=name, known=", ".join(sorted(saga.name for saga in SAGAS)))
