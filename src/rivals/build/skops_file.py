"""A fitted pipeline as a skops file that is the same for the same pipeline.

skops names parts by their addresses in memory and stamps its archive with the time; both are replaced here.
"""

from __future__ import annotations

import io
import re
import zipfile
from typing import Any

EPOCH = (1980, 1, 1, 0, 0, 0)  # the first a zip file can tell


def dump(pipeline: Any) -> bytes:
    """Write without pickle. Raises whatever skops raises on an object it cannot take apart."""
    import skops.io  # noqa: PLC0415 -- seconds: it loads all of scikit-learn, and torch where that is installed

    with zipfile.ZipFile(io.BytesIO(skops.io.dumps(pipeline))) as archive:
        members = {info.filename: archive.read(info) for info in archive.infolist()}
    schema = members.pop("schema.json").decode()
    numbers: dict[str, str] = {}

    def number(match: re.Match[str]) -> str:
        return match[1] + numbers.setdefault(match[2], str(len(numbers) + 1))

    schema = re.sub(r'("__id__": )(\d+)', number, schema)
    schema = re.sub(r'("file": ")(\d+)(?=\.)', number, schema)
    renamed = {re.sub(r"()^(\d+)(?=\.)", number, name): raw for name, raw in members.items()}
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, raw in sorted(renamed.items()):
            archive.writestr(zipfile.ZipInfo(name, EPOCH), raw, zipfile.ZIP_DEFLATED)
        archive.writestr(zipfile.ZipInfo("schema.json", EPOCH), schema, zipfile.ZIP_DEFLATED)
    return out.getvalue()
