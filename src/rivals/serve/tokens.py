"""Feedback tokens: who got an answer may say what became of it, and nobody else.

A token is ``<expiry>.<mac>``: the second until which it is good, on the endpoint's clock, and HMAC-SHA256 (RFC 2104)
over the request's id and that second, in unpadded base64. It names no variant. The key is ``RIVALS_FEEDBACK_KEY``, or
lies in the run directory for this user's eyes only.
"""

from __future__ import annotations

import base64
import hmac
import os
import secrets
from pathlib import Path

from rivals.errors import RequestError

HEADER = "X-Rivals-Feedback-Token"
LENGTH = 43  # of a mac, in characters


class Tokens:
    """Gives a token with each answer, good for ``keep`` seconds, and checks those that come back with feedback."""

    def __init__(self, key: bytes, keep: float) -> None:
        self._key, self._keep = key, keep

    def give(self, request_id: str, now: float) -> str:
        """The token of a request."""
        until = str(int(now + self._keep))
        return f"{until}.{self._mac(request_id, until)}"

    def check(self, where: str, exposure_id: str, token: str, now: float) -> None:
        """Raises ``RequestError`` (401 without a token, 403 with a wrong one) naming what is wrong."""
        if not token:
            raise RequestError(f"{where} has no token; send the answer's {HEADER} along as 'token'.", 401)
        until, _, mac = token.partition(".")
        request_id = exposure_id.rpartition("/")[0]
        if len(mac) != LENGTH or not hmac.compare_digest(mac.encode(), self._mac(request_id, until).encode()):
            raise RequestError(f"{where}: the token is not that of request {request_id[:80]!r}; nothing was kept.", 403)
        if now > int(until):
            raise RequestError(f"{where}: the token has expired; its time was {until}.", 403)

    def _mac(self, request_id: str, until: str) -> str:
        digest = hmac.digest(self._key, f"{until}.{request_id}".encode(), "sha256")
        return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


def read_key(run_dir: Path) -> bytes:
    """The key of an endpoint; made on first use. Workers that start together find the same one."""
    if given := os.environ.get("RIVALS_FEEDBACK_KEY"):
        return given.encode()
    path, mine = run_dir / "feedback.key", run_dir / f"feedback.key.{secrets.token_hex(4)}"
    if not path.exists():
        descriptor = os.open(mine, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(secrets.token_bytes(32))
            stream.flush()
            os.fsync(stream.fileno())
        try:
            os.link(mine, path)  # whole, or not there
        except FileExistsError:
            pass  # another worker was first
        finally:
            mine.unlink()
    return path.read_bytes()
