"""Checks that something answers on loopback. Each looks once, for a bounded time, and never raises."""

import http.client
import socket


def port_open(host: str, port: int) -> bool:
    """Whether somebody accepts connections there."""
    try:
        with socket.create_connection((host, port), timeout=1):
            return True
    except OSError:
        return False


def http_ok(host: str, port: int, path: str) -> bool:
    """Whether a GET answers 200 within 3 seconds."""
    connection = http.client.HTTPConnection(host, port, timeout=3)
    try:
        connection.request("GET", path)
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
