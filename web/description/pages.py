"""The description for people: the interactive page and one for each kind of problem, all served from here."""

from importlib import resources
from pathlib import Path

import msgspec
from flask import Blueprint, Response, render_template, send_from_directory
from flask_smorest import Api
from werkzeug.exceptions import NotFound

from web.description import specification
from web.problem_kinds import KINDS

OPENAPI = "/openapi.json"
_OWN = frozenset({"docs.js", "page.css"})
_SWAGGER_UI = frozenset({"swagger-ui-bundle.js", "swagger-ui.css", "favicon-32x32.png"})
_POLICY = (
    "default-src 'none'; script-src 'self'; connect-src 'self'; img-src 'self' data:; font-src data:; "
    "style-src 'self' 'unsafe-inline'; base-uri 'none'; frame-ancestors 'none'"
)


def blueprint(api: Api) -> Blueprint:
    """Bind the pages to a finished description."""
    pages = Blueprint("description", __name__, template_folder="templates")
    described = msgspec.json.encode(specification.finished(api))
    swagger_ui = Path(str(resources.files("flask_swagger_ui"))) / "dist"

    @pages.get(OPENAPI)
    def openapi() -> Response:
        return Response(described, mimetype="application/json")

    @pages.get("/docs")
    def docs() -> Response:
        return _page("docs.html")

    @pages.get("/docs/<asset>")
    def docs_asset(asset: str) -> Response:
        if asset in _OWN:
            return send_from_directory(Path(__file__).parent / "static", asset)
        if asset in _SWAGGER_UI:
            return send_from_directory(swagger_ui, asset)
        raise NotFound()

    @pages.get("/problems")
    def problems() -> Response:
        return _page("problems.html", kinds=KINDS.values())

    @pages.get("/problems/<code>")
    def problem(code: str) -> Response:
        if code not in KINDS:
            raise NotFound()
        return _page("problems.html", kinds=[KINDS[code]])

    return pages


def _page(template: str, **values: object) -> Response:
    return Response(
        render_template(template, **values),
        mimetype="text/html",
        headers={"Content-Security-Policy": _POLICY},
    )
