"""
What is compared with the providers: each resource with the step that makes its effects, as data.

A step that asks a provider for something new needs a line here; a test says so.
"""

from app.providers.port import Kind, Resource
from app.settlement.model import Book, Place
from sagas.all import SAGAS
from sagas.steps import authorize_payment, capture_payment, dispatch_to_partner, place_with_restaurant

_TOTAL = "o.total_amount"


def _places(*steps: str) -> tuple[Place, ...]:
    return tuple(
        Place(saga.name, saga.version, saga.numbers[step])
        for saga in SAGAS
        for step in steps
        if step in saga.numbers
    )


BOOKS = (
    Book(
        resource=Resource.AUTHORIZATIONS,
        provider=Kind.PAYMENT,
        step=authorize_payment.NAME,
        makers=_places(authorize_payment.NAME),
        amount=_TOTAL,
        undoable=True,
    ),
    Book(
        resource=Resource.CAPTURES,
        provider=Kind.PAYMENT,
        step=capture_payment.NAME,
        makers=_places(capture_payment.NAME),
        amount=_TOTAL,
    ),
    Book(
        resource=Resource.PLACEMENTS,
        provider=Kind.RESTAURANT,
        step=place_with_restaurant.NAME,
        makers=_places(place_with_restaurant.NAME),
        undoable=True,
    ),
    Book(
        resource=Resource.DISPATCHES,
        provider=Kind.DELIVERY,
        step=dispatch_to_partner.NAME,
        makers=_places(dispatch_to_partner.NAME),
        by_partner=True,
        undoable=True,
    ),
)
UNDOABLE = frozenset(str(book.resource) for book in BOOKS if book.undoable)
