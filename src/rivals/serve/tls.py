"""Certificates: read once, before anything listens."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from pathlib import Path

from rivals.errors import RivalsError


@dataclass(frozen=True, slots=True)
class Tls:
    """A certificate chain and its key, as PEM files."""

    cert: str
    key: str

    def context(self) -> ssl.SSLContext:
        """For a server, TLS 1.2 or newer. Raises ``RivalsError`` where the two files are none, or no pair."""
        made = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        made.minimum_version = ssl.TLSVersion.TLSv1_2
        try:
            made.load_cert_chain(self.cert, self.key, password=_nobody)
        except (OSError, ssl.SSLError, ValueError) as error:
            why = getattr(error, "reason", None) or getattr(error, "strerror", None) or str(error)
            told = "--tls-cert and --tls-key are no certificate with its key, as PEM files"
            raise RivalsError(f"{told} ({why}).") from None
        return made

    def pair(self) -> tuple[bytes, bytes]:
        """The key and the chain, as gRPC wants them."""
        return Path(self.key).read_bytes(), Path(self.cert).read_bytes()


def _nobody() -> str:
    raise ValueError("the key has a password; a server is asked for none")
