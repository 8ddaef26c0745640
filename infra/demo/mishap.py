"""A delivery partner who goes down in the middle of a run, and comes back when everything is sent."""

import json
from http.client import HTTPConnection
from pathlib import Path

from app import errors

CALL_S = 10.0


class NoSuchPartner(errors.Rejected):
    """The sandbox does not play this partner."""

    code = "no-such-partner"


class PartnerDown:
    """
    Tells the sandbox of `home` when it is time.

    :param share: of the orders, after which he goes down
    """

    def __init__(self, home: Path, partner: str, *, share: float, orders: int) -> None:
        self._home, self._partner = home, partner
        self._from, self._until = int(share * orders), orders
        self._down = self._over = False

    def look(self, accepted: int) -> None:
        """
        Take him down, or let him come back, if it is time.

        :raises NoSuchPartner:
        """
        if not self._down and not self._over and accepted >= self._from:
            self._tell({"behavior": "down"})
            self._down = True
        if self._down and accepted >= self._until:
            self.end()

    def end(self) -> None:
        """Let him come back."""
        if self._down:
            self._tell(None)
        self._down, self._over = False, True

    def _tell(self, behavior: dict[str, str] | None) -> None:
        port = int((self._home / "sandbox" / "port").read_text())
        token = (self._home / "sandbox-token").read_text().strip()
        connection = HTTPConnection("127.0.0.1", port, timeout=CALL_S)
        try:
            headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
            method, body = ("PUT", json.dumps(behavior)) if behavior else ("DELETE", None)
            connection.request(method, f"/_control/{self._partner}", body, headers)
            if connection.getresponse().status != 200:
                raise NoSuchPartner(partner=self._partner)
        finally:
            connection.close()
