"""Which trace a request belongs to: its client's, by W3C Trace Context, or one of its own."""

from __future__ import annotations

import re
from hashlib import blake2b

# https://www.w3.org/TR/trace-context/: version 00, and later ones as far as they are the same.
FORM = re.compile(rb"(?!ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})(?=-|$)")
OWN = re.compile(r"(?!0{32})[0-9a-f]{32}")
NOBODY = "0" * 16


def traceparent(given: bytes, request: str) -> str:
    """The header as version 00; where there is none that can be read, one without a parent that the id leads to.

    An id that was drawn here is its own trace id, so that who has an answer's id finds its trace.
    """
    if found := FORM.match(given.strip()):
        return (b"00-%b-%b-%b" % found.groups()).decode()
    trace = request if OWN.fullmatch(request) else blake2b(request.encode(), digest_size=16).hexdigest()
    return f"00-{trace}-{NOBODY}-01"
