"""Every deliberate mistake, drawn as a tree.

RivalsError                 something a person can mend; the message is one sentence with a way out
├── SpecError               the project file: file, line and key in front
├── UnknownPlugin           no plug-in has that name; the nearest one is named
├── MissingExtra            the plug-in's technology is not installed; the extra is named
├── DataError               rows, columns or labels that cannot be used
├── BuildError              a variant that could not be built
│   ├── OutOfTime           it overran its time
│   └── OutOfMemory         it overran its memory, or died
├── BundleError             a bundle that is damaged, unsigned or cannot be loaded
├── RequestError            a client's mistake; carries the HTTP status
│   └── Overloaded          not now; carries Retry-After
├── RolloutError            a steering command that does not fit the present state
│   └── Conflict            somebody else changed it first
├── LedgerError             the chain of verdicts is broken
├── StoreAway               the store's database does not answer; what was asked can be asked again
└── Refused                 the answer is no, and says why (exit code 1)
"""

from __future__ import annotations


class RivalsError(Exception):
    """A mistake with a sentence for the person who can mend it."""


class SpecError(RivalsError):
    """The project file asks for something that cannot be."""


class UnknownPlugin(RivalsError):
    """No plug-in of that door has that name."""


class MissingExtra(RivalsError):
    """A plug-in is known but the package under it is not installed."""


class DataError(RivalsError):
    """Rows, columns or labels that cannot be used as asked."""


class BuildError(RivalsError):
    """A variant could not be built; the others go on."""


class OutOfTime(BuildError):
    """A variant overran the time it was given."""


class OutOfMemory(BuildError):
    """A variant overran the memory it was given, or its process died."""


class BundleError(RivalsError):
    """A bundle is damaged, incomplete or does not answer its probe."""


class RequestError(RivalsError):
    """A client's mistake, answered with ``status`` and one sentence."""

    def __init__(self, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.status = status


class Overloaded(RequestError):
    """The endpoint cannot take this now; ``retry_after`` is in seconds."""

    def __init__(self, message: str, retry_after: int = 1, status: int = 503) -> None:
        super().__init__(message, status)
        self.retry_after = retry_after


class RolloutError(RivalsError):
    """A steering command does not fit the rollout's present state."""


class Conflict(RolloutError):
    """Somebody else changed the routing table or the rollout first."""


class StoreAway(RivalsError):
    """The store's database does not answer now; nothing is half done, and it can be tried again."""


class Refused(RivalsError):
    """The answer is no; the message says why."""


class LedgerError(Refused):
    """The ledger is not what was written; the message names the entry."""
