"""The API's composition root: `served` is what the server serves, Flask behind the hot lane or alone."""

from app import crash_points
from infra import front_door, garbage, logs
from infra.settings import Settings
from web.app import create_app
from web.bridge import Bridge
from web.hot_lane import HotLane

settings = Settings.load()
STOP_S = settings.drain_s * 0.25  # by 0.3 of it the supervisor kills
logs.configure(settings.log_level)
if settings.crash_points:
    crash_points.arm(settings.home / "crash-points")
_bell = front_door.bell(settings)
_behind = front_door.pressure(settings)
_commit = front_door.group_commit(settings, _bell, _behind)
_services = front_door.services(settings, _commit, _bell, _behind)
application = create_app(_services)
served = (
    HotLane(
        application,
        _services,
        _commit.submit_for,
        threads=settings.api_threads,
        places=settings.waiting_clients,
        stop_s=STOP_S,
    )
    if settings.hot_lane
    else Bridge(application, threads=settings.api_threads, stop_s=STOP_S)
)
garbage.settle()
