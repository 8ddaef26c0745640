"""Secrets of receivers at rest: sealed by a key that the database does not hold."""

import base64
import hashlib

from cryptography.fernet import Fernet, InvalidToken, MultiFernet

from app import errors


class SecretUnreadable(errors.Unavailable):
    """A receiver's secret was sealed by a key that is not here."""

    code = "webhook-secret-unreadable"


class Keyring:
    """
    Seals by the first key and opens by any.

    :param keys: texts of at least 32 random characters
    """

    def __init__(self, *keys: str) -> None:
        digests = (hashlib.sha256(key.encode()).digest() for key in keys)
        self._fernet = MultiFernet([Fernet(base64.urlsafe_b64encode(digest)) for digest in digests])

    def seal(self, secret: str) -> bytes:
        return self._fernet.encrypt(secret.encode())

    def open(self, sealed: bytes) -> str:
        """:raises SecretUnreadable: if none of the keys has sealed it"""
        try:
            return self._fernet.decrypt(sealed).decode()
        except InvalidToken:
            raise SecretUnreadable from None
