"""A worker as `infra.pool` starts it, whose saga of an order does nothing."""

import sys

import sagas.all
from benchmarks.noop.saga import REGISTRY

sagas.all.SAGAS = REGISTRY  # before the composition root takes it from there

from infra import pool  # noqa: E402 (must see the registry above)

if __name__ == "__main__":
    sys.exit(pool.main())
