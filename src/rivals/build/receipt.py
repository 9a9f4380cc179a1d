"""What a process leaves beside its predictions when a variant is built: who comes next need not build it again.

Written last, so that whoever finds it finds all that it tells of.
"""

from __future__ import annotations

import json
import os
import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from rivals.build.bank import FILE
from rivals.build.bundle import Bundle
from rivals.build.leftovers import RECEIPT
from rivals.build.train import Fitted


@dataclass(frozen=True, slots=True)
class Made:
    """A built variant, small enough to travel."""

    fitted: Fitted
    bundle: Bundle


def keep(made: Made) -> None:
    """Write the receipt, all of it or nothing."""
    raw = json.dumps(msgspec.to_builtins(made, enc_hook=str))  # the standard library's: a score may be NaN
    draft = made.fitted.into / f".{RECEIPT}.{secrets.token_hex(4)}"
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as stream:
        stream.write(raw)
        stream.flush()
        os.fsync(stream.fileno())
    draft.rename(made.fitted.into / RECEIPT)


def kept(into: Path) -> Made | None:
    """What was built there and is still whole; None: nothing, so build it."""
    try:
        made = msgspec.convert(json.loads((into / RECEIPT).read_bytes()), Made, dec_hook=_path)
    except (OSError, ValueError):
        return None
    there = (made.fitted.into / FILE).exists() and made.bundle.folder.exists()
    return made if there and made.fitted.into == into else None


def _path(kind: type, value: Any) -> Any:
    return kind(value)
