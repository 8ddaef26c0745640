"""Every saga that this version of the platform knows."""

from sagas.definition import Registry
from sagas.fulfill_order import FULFILL_ORDER
from sagas.reroute_order import REROUTE_ORDER
from sagas.scheduled_order import FULFILL_SCHEDULED_ORDER

SAGAS = Registry(FULFILL_ORDER, FULFILL_SCHEDULED_ORDER, REROUTE_ORDER)
