"""What an endpoint asks of serving: who is asked in the shadow, and how single variants are asked."""

from __future__ import annotations

import re
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema

from rivals.spec.parts import Name, Part, Seconds, Share

ORIGIN = r"\*|https?://[^/\s]+"


def as_origin(value: str) -> str:
    """An origin as browsers send it."""
    if not re.fullmatch(ORIGIN, value):
        raise ValueError(f"{value!r} is no origin; write it as https://shop.example, or '*' for any")
    return value


Origin = Annotated[str, AfterValidator(as_origin), WithJsonSchema({"type": "string", "pattern": f"^({ORIGIN})$"})]


class Shadowed(Part):
    """A variant that is paired with the champion, for a share of the units; the same units always."""

    variant: Name
    share: Annotated[Share, Field(gt=0)] = 1.0


def as_shadow(value: object) -> object:
    """``name`` -> ``{variant: name}``."""
    return {"variant": value} if isinstance(value, str) else value


WRITTEN_SHADOW: dict[str, Any] = {"anyOf": [{"type": "string"}, Shadowed.model_json_schema()]}
ShadowSpec = Annotated[Shadowed, BeforeValidator(as_shadow), WithJsonSchema(WRITTEN_SHADOW)]


class AskedSpec(Part):
    """How one variant is asked; where nothing is said, with all that arrived in one turn of the loop.

    With ``wait`` or ``at_once`` it is asked beside the loop, has a second (or the client's deadline), and the champion
    answers where it cannot.
    """

    rows: int | None = Field(default=None, gt=0)  # in one call; a larger request is asked by itself
    wait: Seconds = 0.0  # that the first request waits for others to be asked with
    at_once: int | None = Field(default=None, gt=0)  # requests waiting or being answered; more are not asked
    python: str | None = None  # of a virtual environment in which it answers, from the project file on


class CapacitySpec(Part):
    """That a challenger's share never outruns what its ready replicas bear, as `rivals capacity` measured it."""

    peak: float = Field(default=0.0, ge=0)  # requests a second that the plan must bear; the last minute's if more
    headroom: float = Field(default=0.8, gt=0, le=1)  # of what was measured at the knee
