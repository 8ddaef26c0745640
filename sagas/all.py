"""Every saga that this version of the platform knows."""

from sagas.cancel_confirmed_order import CANCEL_CONFIRMED_ORDER
from sagas.definition import Registry
from sagas.fulfill_order import FULFILL_ORDER
from sagas.refund_order import REFUND_ORDER
from sagas.reroute_order import REROUTE_ORDER
from sagas.scheduled_order import FULFILL_SCHEDULED_ORDER

SAGAS = Registry(FULFILL_ORDER, FULFILL_SCHEDULED_ORDER, CANCEL_CONFIRMED_ORDER, REFUND_ORDER, REROUTE_ORDER)
