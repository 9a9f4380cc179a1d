"""The JSON Schema of the project file, from ``project.py``: what editors complete, check and explain."""

from __future__ import annotations

import inspect
import io
import itertools
import tokenize
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pydantic import BaseModel

from rivals.spec import project
from rivals.spec.matrix import KEYS

Schema = dict[str, Any]
DIALECT = "https://json-schema.org/draft/2020-12/schema"

# Which door's plug-ins a key takes, by the part and the key.
DOORS = {
    ("DataSpec", "source"): "Source", ("DataSpec", "sets"): "Source", ("ProjectSpec", "features"): "Step",
    ("ProjectSpec", "gate"): "Judge", ("EndpointSpec", "policy"): "Policy", ("RolloutSpec", "judges"): "Judge",
    ("VariantSpec", "family"): "Family", ("VariantSpec", "tune"): "Tuner",
    ("DriftSpec", "detectors"): "Detector",
}  # fmt: skip


def schema(installed: Mapping[str, Sequence[str]] | None = None) -> Schema:
    """The schema; ``installed`` names the plug-ins of each door, for editors to offer (others are taken as well)."""
    made = project.ProjectSpec.model_json_schema(by_alias=True)
    parts: dict[str, Schema] = {**made["$defs"], "ProjectSpec": made}
    for name, part in parts.items():
        model = getattr(project, name, None)
        if isinstance(model, type) and issubclass(model, BaseModel):
            _explain(part, model)
        for one in part.get("properties", {}).values():
            one.pop("title", None)  # the key, written otherwise
            if "patternProperties" in one:
                one["additionalProperties"] = False
    _matrix(parts["VariantSpec"])
    offered = {door: [*names, *(["ensemble"] if door == "Family" else [])] for door, names in (installed or {}).items()}
    for (part_name, key), door in DOORS.items():
        for place in _names(parts[part_name]["properties"][key]):
            place["examples"] = offered.get(door, [])
    listed = parts["DriftSpec"]["properties"]["detectors"]  # a list of detectors stands for the whole part
    parts["EndpointSpec"]["properties"]["drift"]["anyOf"].append({key: listed[key] for key in ("type", "items")})
    return {"$schema": DIALECT, "title": "rivals.yaml", **{key: made[key] for key in made if key != "title"}}


def _explain(part: Schema, model: type[BaseModel]) -> None:
    """Each key's line in ``project.py`` ends with what it means."""
    for name, said in _comments(model):
        field = model.model_fields.get(name)
        key = (field.alias or name) if field else name
        if key in part.get("properties", {}):
            part["properties"][key]["description"] = said


def _comments(model: type[BaseModel]) -> Iterator[tuple[str, str]]:
    name, depth = "", 0
    tokens = list(tokenize.generate_tokens(io.StringIO(inspect.getsource(model)).readline))
    for token, following in itertools.pairwise(tokens):
        depth += (token.string in {"(", "["}) - (token.string in {")", "]"})
        if token.type == tokenize.NAME and following.string == ":" and not depth:
            name = token.string
        if token.type == tokenize.COMMENT and name and not token.string.startswith("# noqa"):
            yield name, token.string.removeprefix("# ")
            name = ""


def _matrix(variant: Schema) -> None:
    """``matrix`` is expanded before a variant is read, so that only the schema knows it as a key."""
    options = {"type": "object"}
    axes = {key: {"type": "array", "minItems": 1} for key in KEYS}
    one: Schema = {
        "type": "object", "minProperties": 1, "additionalProperties": False,
        "properties": {**{key: {} for key in KEYS}, "with": options},
    }  # fmt: skip
    lists = {"type": "object", "additionalProperties": {"type": "array", "minItems": 1}}
    variant["properties"]["matrix"] = {
        "type": "object",
        "description": "one entry becomes many variants: every combination of these lists",
        "minProperties": 1,
        "additionalProperties": False,
        "properties": {
            **axes,
            "with": lists,
            "include": {"type": "array", "items": one, "description": "single combinations more"},
            "exclude": {"type": "array", "items": one, "description": "combinations less, by some of their values"},
        },
    }


def _names(place: Any) -> Iterator[Schema]:
    """Where inside a key a plug-in's name stands."""
    if isinstance(place, list):
        for one in place:
            yield from _names(one)
    if isinstance(place, dict):
        if place.get("type") == "string":
            yield place
        elif "use" in place.get("properties", {}):
            yield place["properties"]["use"]
        else:
            inner = [place.get(key) for key in ("anyOf", "items", "additionalProperties")]
            yield from _names([*inner, *place.get("patternProperties", {}).values()])
