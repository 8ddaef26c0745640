"""
The API's composition root: `granian --interface asgi infra.api:hot_lane`.

Flask alone is served by `granian --interface wsgi infra.api:application`.
"""

from app import crash_points
from infra import front_door, garbage, logs
from infra.settings import Settings
from web.app import create_app
from web.hot_lane import HotLane

settings = Settings.load()
logs.configure(settings.log_level)
if settings.crash_points:
    crash_points.arm(settings.home / "crash-points")
_bell = front_door.bell(settings)
_behind = front_door.pressure(settings)
_commit = front_door.group_commit(settings, _bell, _behind)
_services = front_door.services(settings, _commit, _bell, _behind)
application = create_app(_services)
hot_lane = HotLane(
    application,
    _services,
    _commit.submit_for,
    threads=settings.api_threads,
    places=settings.waiting_clients,
)
garbage.settle()
