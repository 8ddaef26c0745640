"""Print the OpenAPI document: `python -m web.description`."""

import sys
from typing import cast

from web.app import create_app
from web.description.pages import OPENAPI
from web.services import Services


class _Unasked:
    """Services of an application that only describes itself."""

    def __getattr__(self, _: str) -> None:
        return None


def document() -> bytes:
    """The OpenAPI document as it is served."""
    answer = create_app(cast(Services, _Unasked())).test_client().get(OPENAPI)
    return cast(bytes, answer.data)


if __name__ == "__main__":
    sys.stdout.write(document().decode() + "\n")
