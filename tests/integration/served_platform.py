"""The front door with fakes behind it, for a real server: `granian ... served_platform:hot_lane`, or `:application`."""

from dataclasses import replace

from fake_platform import VIEW, Platform
from prometheus_client import generate_latest

from app.orders.group_commit import Tell
from app.orders.model import NewOrder, Status
from web.app import create_app
from web.hot_lane import HotLane

platform = Platform()
platform.view = replace(VIEW, version=1, status=Status.PENDING, partner=None)
services = replace(platform.services(), metrics=lambda: (generate_latest(), "text/plain"))
application = create_app(services)


def submit_for(new: NewOrder, asker: object, tell: Tell) -> None:
    tell([(asker, platform.accept(new).result())])


hot_lane = HotLane(application, services, submit_for, threads=2, places=3)
