"""
What is compared with the providers: each resource with the step that makes its effects, as data.

A step that asks a provider for something new needs a line here; a test says so.
"""

from app.providers.port import Kind, Resource
from app.settlement.model import Book, Place
from sagas.all import SAGAS
from sagas.steps import (
    authorize_payment,
    capture_payment,
    dispatch_to_partner,
    place_with_restaurant,
    recall_dispatch,
    refund_payment,
    return_money,
    withdraw_placement,
)

_TOTAL = "o.total_amount"


def _places(*steps: str, surely: bool = True) -> tuple[Place, ...]:
    return tuple(
        Place(saga.name, saga.version, saga.numbers[step], step, surely)
        for saga in SAGAS
        for step in steps
        if step in saga.numbers
    )


BOOKS = (
    Book(
        resource=Resource.AUTHORIZATIONS,
        provider=Kind.PAYMENT,
        makers=_places(authorize_payment.NAME),
        takers=_places(return_money.NAME, surely=False),  # it voids only what was not captured
        amount=_TOTAL,
        undoable=True,
    ),
    Book(
        resource=Resource.CAPTURES,
        provider=Kind.PAYMENT,
        makers=_places(capture_payment.NAME),
        amount=_TOTAL,
    ),
    Book(
        resource=Resource.REFUNDS,
        provider=Kind.PAYMENT,
        makers=_places(refund_payment.NAME, return_money.NAME),
        amount="(SELECT b.amount FROM refunds b WHERE b.run_id = r.id)",
        made="EXISTS (SELECT FROM refunds b WHERE b.run_id = r.id)",
    ),
    Book(
        resource=Resource.PLACEMENTS,
        provider=Kind.RESTAURANT,
        makers=_places(place_with_restaurant.NAME),
        takers=_places(withdraw_placement.NAME),
        undoable=True,
    ),
    Book(
        resource=Resource.DISPATCHES,
        provider=Kind.DELIVERY,
        makers=_places(dispatch_to_partner.NAME),
        takers=_places(recall_dispatch.NAME),
        by_partner=True,
        undoable=True,
    ),
)
UNDOABLE = frozenset(str(book.resource) for book in BOOKS if book.undoable)
