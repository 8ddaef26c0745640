"""What the README shows to newcomers, done by its words: the first 202, the status, the list, the health."""

import argparse
import http.client
import json
import re
import shlex
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from uoop_command import Uoop

README = Path(__file__).parents[2] / "README.md"
SHOWN_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
CURL = argparse.ArgumentParser()
CURL.add_argument("curl")
CURL.add_argument("-s", action="store_true")
CURL.add_argument("-i", action="store_true")
CURL.add_argument("-H", dest="headers", action="append", default=[])
CURL.add_argument("-d", dest="body")
CURL.add_argument("url")


@dataclass(frozen=True)
class Reader:
    """Somebody who has started the platform and types what is shown."""

    port: int
    key: str

    def types(self, shown: str, tracking_id: str = "") -> tuple[int, dict[str, Any]]:
        """Status and body of the answer; the id that is shown is the one that he was told."""
        line = SHOWN_ID.sub(tracking_id, shown.replace("$KEY", self.key))
        asked = CURL.parse_args(shlex.split(line))
        host, _, path = asked.url.partition("/")
        assert host == "localhost:8080"
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        headers = dict(re.split(r": *", header, maxsplit=1) for header in asked.headers)
        connection.request("POST" if asked.body else "GET", f"/{path}", asked.body, headers)
        answer = connection.getresponse()
        told = json.loads(answer.read())
        connection.close()
        return answer.status, told


def test_the_readmes_lines_of_curl_do_what_it_shows(running: Uoop, eventually: Callable[..., object]):
    text = README.read_text().partition("## Five lines of curl")[2].partition("```\n")[0]
    submit, status, listing, health = re.findall(r"^\$ (curl .*)$", text, re.MULTILINE)
    healthy = json.loads(text.splitlines()[-1])
    (api,) = (row for row in json.loads(running("ps", "--json").stdout) if row["name"] == "api")
    reader = Reader(api["port"], (running.home / "api-key").read_text().strip())

    accepted, order = reader.types(submit)
    tracking_id = order["tracking_id"]

    assert (accepted, order["status"]) == (202, "PENDING")
    eventually(lambda: reader.types(status, tracking_id)[1]["status"] == "CONFIRMED")
    assert reader.types(listing)[1]["orders"][0]["tracking_id"] == tracking_id
    assert reader.types(health) == (200, healthy)
