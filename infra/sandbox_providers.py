"""The providers file that ``up`` writes for the sandbox when no other is named."""

import base64
import json

from app.callbacks import signature
from app.providers.port import Kind
from infra import kept
from infra.settings import Settings

_PROVIDERS: tuple[dict[str, object], ...] = (
    {"name": "benefit", "kind": "payment", "bulk": True},
    {"name": "kitchens", "kind": "restaurant", "bulk": True},
    {
        "name": "swift",
        "kind": "delivery",
        "bulk": True,
        "base_fee": "0.700",
        "per_km": "0.100",
        "speed_m_per_min": 320,
    },
    {
        "name": "falcon",
        "kind": "delivery",
        "bulk": True,
        "base_fee": "0.500",
        "per_km": "0.150",
        "speed_m_per_min": 380,
    },
    {
        "name": "dhow",
        "kind": "delivery",
        "bulk": False,
        "base_fee": "0.400",
        "per_km": "0.250",
        "speed_m_per_min": 250,
    },
)


def write_providers(settings: Settings) -> None:
    """Write the file that ``settings.providers`` names, and make tokens and secrets where there are none."""
    token = kept.secret(settings.home / "provider-token")
    kept.secret(settings.home / "sandbox-token")
    secret = base64.b64encode(kept.secret(settings.home / "callback-secret").encode()).decode()
    callbacks = {"callbacks": {"format": "uoop", "secrets": [f"{signature.PREFIX}{secret}"]}}
    address = f"http://{kept.LOOPBACK}:{settings.sandbox_port}"
    declared = [
        one
        | {"url": f"{address}/{one['name']}", "token": token}
        | (callbacks if one["kind"] != Kind.PAYMENT else {})
        for one in _PROVIDERS
    ]
    kept.write(settings.providers, json.dumps({"providers": declared}, indent=1) + "\n")
