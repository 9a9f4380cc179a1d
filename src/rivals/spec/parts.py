"""What parts of the project file are made of: durations, shares, plug-ins, names, and a part itself."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema

from rivals.spec.durations import as_seconds
from rivals.values import Use


def as_share(value: object) -> object:
    """``"5%"`` -> 0.05; numbers are shares already."""
    if isinstance(value, str) and (found := re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*%\s*", value)):
        return float(found[1]) / 100
    if isinstance(value, str):
        raise ValueError(f"{value!r} is not a share; write a percentage as 5% or a number as 0.05")
    return value


def as_plugin(value: object) -> object:
    """``"name"`` or ``{use: name, with: {...}}`` -> ``Use``."""
    if isinstance(value, str):
        return Use(value)
    if isinstance(value, Mapping):
        if wrong := set(value) - {"use", "with"}:
            raise ValueError(f"a plug-in has the keys use and with, not {', '.join(sorted(map(str, wrong)))}")
        options = value.get("with") or {}
        if not isinstance(value.get("use"), str) or not isinstance(options, Mapping):
            raise ValueError("a plug-in is its name, or {use: name, with: {option: value}}")
        return Use(value["use"], dict(options))
    return value


# What editors are told: values as they are written, not as they are read.
WRITTEN_SECONDS = {
    "anyOf": [{"type": "number", "minimum": 0}, {"type": "string", "pattern": r"^\s*\d+(\.\d+)?\s*(ms|[smhdw])\s*$"}]
}
WRITTEN_SHARE = {
    "anyOf": [{"type": "number", "minimum": 0, "maximum": 1}, {"type": "string", "pattern": r"^\s*\d+(\.\d+)?\s*%\s*$"}]
}
WRITTEN_PLUGIN = {
    "anyOf": [
        {"type": "string"},
        {
            "type": "object",
            "properties": {"use": {"type": "string"}, "with": {"type": ["object", "null"]}},
            "required": ["use"],
            "additionalProperties": False,
        },
    ]
}
Seconds = Annotated[
    float, BeforeValidator(as_seconds), Field(ge=0, allow_inf_nan=False), WithJsonSchema(WRITTEN_SECONDS)
]
Share = Annotated[
    float, BeforeValidator(as_share), Field(ge=0, le=1, allow_inf_nan=False), WithJsonSchema(WRITTEN_SHARE)
]
Plugin = Annotated[Use, BeforeValidator(as_plugin), WithJsonSchema(WRITTEN_PLUGIN)]
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$")]


class Part(BaseModel):
    """A part of the project file: frozen, and closed to keys it does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True)
