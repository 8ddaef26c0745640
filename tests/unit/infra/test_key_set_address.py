"""The issuer's keys come from an https address: over TLS that can be trusted, in one request for many tokens."""

import datetime
import ipaddress
import json
import ssl
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import jwt
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from infra.identity import key_set
from infra.identity.key_set import AGAIN_AFTER_S, KeySet, NoKeySet

KEY = ec.generate_private_key(ec.SECP256R1())
PUBLISHED = {
    "keys": [{**jwt.algorithms.ECAlgorithm.to_jwk(KEY.public_key(), as_dict=True), "kid": "e", "use": "sig"}]
}
REFRESH_S = 300.0


@dataclass
class Issuer:
    """:param asked: the paths that were asked for"""

    url: str = ""
    status: int = 200
    asked: list[str] = field(default_factory=list)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of 127.0.0.1, signed by itself, with its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "issuer")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(hours=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False
        )
        .sign(key, hashes.SHA256())
    )
    place = tmp_path_factory.mktemp("tls") / "issuer.pem"
    written = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    place.write_bytes(written + made.public_bytes(serialization.Encoding.PEM))
    return place


@pytest.fixture
def issuer(certificate: Path) -> Iterator[Issuer]:
    found = Issuer()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            found.asked.append(self.path)
            body = json.dumps(PUBLISHED).encode()
            self.send_response(found.status)
            self.send_header("Content-Length", str(len(body)))
            self.send_header("Connection", "close")
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Silence."""

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        server.block_on_close = False
        server.handle_error = lambda *_: None  # type: ignore[method-assign] # who does not trust it leaves
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
        found.url = f"https://127.0.0.1:{server.server_address[1]}/keys?of=us"
        serving = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        serving.start()
        yield found
        server.shutdown()
        serving.join()


@pytest.fixture
def _trusted(certificate: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.mark.usefixtures("_trusted")
def test_many_tokens_cost_one_request_until_the_set_is_old(issuer: Issuer) -> None:
    clock = Clock()
    keys = KeySet(key_set.source(issuer.url), refresh_s=REFRESH_S, clock=clock)

    found = [keys.find("e") for _ in range(100)]
    asked_at_first = len(issuer.asked)
    clock.now += REFRESH_S
    keys.find("e")

    assert {each.algorithm for each in found if each} == {"ES256"}
    assert (asked_at_first, issuer.asked) == (1, ["/keys?of=us"] * 2)


@pytest.mark.usefixtures("_trusted")
def test_an_address_that_fails_leaves_the_last_set(issuer: Issuer) -> None:
    clock = Clock()
    keys = KeySet(key_set.source(issuer.url), refresh_s=REFRESH_S, clock=clock)
    keys.find("e")
    issuer.status = 503
    clock.now += REFRESH_S + AGAIN_AFTER_S

    assert keys.find("e") is not None
    assert len(issuer.asked) == 2


def test_a_certificate_that_nobody_vouches_for_is_not_believed(issuer: Issuer) -> None:
    keys = KeySet(key_set.source(issuer.url), refresh_s=REFRESH_S)

    with pytest.raises(NoKeySet):
        keys.find("e")
    assert issuer.asked == []
