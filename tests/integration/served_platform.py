"""The front door with fakes behind it, for a real server: `served_platform:hot_lane`, or `:flask_alone`."""

import threading
from dataclasses import replace
from typing import NoReturn

from fake_platform import VIEW, Platform
from prometheus_client import Gauge, generate_latest

from app.orders.group_commit import Tell
from app.orders.model import NewOrder, Status
from infra.settings import Settings
from web.app import create_app
from web.bridge import Bridge
from web.hot_lane import HotLane

STUCK = Gauge("stuck", "Requests that are never answered.")

platform = Platform()
platform.view = replace(VIEW, version=1, status=Status.PENDING, partner=None)


def hang() -> NoReturn:
    """As a dependency that never answers."""
    STUCK.inc()
    while True:
        threading.Event().wait()


services = replace(platform.services(), metrics=lambda: (generate_latest(), "text/plain"), readiness=hang)
application = create_app(services)


def submit_for(new: NewOrder, asker: object, tell: Tell) -> None:
    tell([(asker, platform.accept(new).result())])


stop_s = Settings.load().drain_s / 4
hot_lane = HotLane(application, services, submit_for, threads=2, places=3, stop_s=stop_s)
flask_alone = Bridge(application, threads=2, stop_s=stop_s)
