"""The Flask application, bound to the services that the composition root gives it."""

from flask import Flask

from web import (
    batches,
    callbacks,
    capacity,
    channels,
    deliveries,
    differences,
    health,
    observation,
    orders,
    pauses,
    problems,
    refunds,
    runs,
    webhooks,
)
from web.description import pages, specification
from web.services import Services


def create_app(services: Services) -> Flask:
    """Build the WSGI application; it holds no state but the services."""
    app = Flask("uoop", static_folder=None, template_folder=None)
    app.config.update(PROVIDE_AUTOMATIC_OPTIONS=False)
    app.url_map.merge_slashes = False
    observation.register(app)
    api = specification.api(app)
    api.register_blueprint(orders.blueprint(services))
    api.register_blueprint(batches.blueprint(services))
    api.register_blueprint(runs.blueprint(services))
    api.register_blueprint(differences.blueprint(services))
    api.register_blueprint(deliveries.blueprint(services))
    api.register_blueprint(callbacks.blueprint(services))
    api.register_blueprint(refunds.blueprint(services))
    api.register_blueprint(pauses.blueprint(services))
    api.register_blueprint(channels.blueprint(services))
    api.register_blueprint(capacity.blueprint(services))
    api.register_blueprint(webhooks.blueprint(services))
    api.register_blueprint(health.blueprint(services))
    app.register_blueprint(pages.blueprint(api))
    problems.register(app)
    return app
