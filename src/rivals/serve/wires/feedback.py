"""``POST /v2/feedback``: labels and rewards by exposure id, one or many."""

from __future__ import annotations

from typing import Any

import msgspec

from rivals.errors import RequestError
from rivals.serve.inputs import LATEST, NUMBERS, printable
from rivals.serve.wires.oip import reason
from rivals.values import Feedback, Signature

LARGEST = 2**63 - 1  # in size: what the journal can hold
LONGEST = 300  # characters of an exposure's id: a request's id and a row


def feedback(raw: bytes, now: float, signature: Signature, *, own_time: bool) -> list[Feedback]:
    """Read one, a list, or ``{"feedback": [...]}``; all of it is good, or nothing is taken.

    ``now`` is the endpoint's time; with ``own_time`` a "time" in the body goes before it. Raises ``RequestError``.
    """
    try:
        body = msgspec.json.decode(raw)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise RequestError(f"The body is not JSON: {reason(error)}.") from None
    if isinstance(body, dict) and "feedback" in body:
        body = body["feedback"]
    many = body if isinstance(body, list) else [body]
    return [_one(number, one, now, signature, own_time=own_time) for number, one in enumerate(many)]


def _one(number: int, body: Any, now: float, signature: Signature, *, own_time: bool) -> Feedback:
    where = f"Feedback {number}"
    if not isinstance(body, dict) or body.keys() - {"id", "label", "reward", "time"}:
        raise RequestError(
            f'{where} is an object as {{"id": "...", "label": ...}}, with "reward" and "time" if you like.'
        )
    name, label, reward, when = body.get("id"), body.get("label"), body.get("reward"), body.get("time")
    if not isinstance(name, str) or not name or len(name) > LONGEST:
        raise RequestError(f"{where} has no id; it takes the exposure's, '<request id>/<row>'.")
    printable(f"The request's part of an id in {where.lower()}", name.rpartition("/")[0] or name)
    if label is None and reward is None:
        raise RequestError(f"{where} ({name!r}) has neither label nor reward.")
    if reward is not None and not _number(reward):
        raise RequestError(f"{where} ({name!r}): a reward is a number.")
    if when is not None and (not _number(when) or not -LATEST <= when <= LATEST):
        raise RequestError(f"{where} ({name!r}): a time is in seconds since the epoch.")
    if label is not None:
        _check(f"{where} ({name!r})", label, signature)
    time = float(when) if own_time and when is not None else now
    return Feedback(name, label, None if reward is None else float(reward), time)


def _check(where: str, label: Any, signature: Signature) -> None:
    """A label is a text or a number, as the endpoint's labels are; a class nobody has seen yet may come."""
    texts = {isinstance(one, str) for one in signature.labels} or {False}  # regression: numbers
    if isinstance(label, str):
        if texts == {False}:
            raise RequestError(f"{where}: the label is a text, where this endpoint's labels are numbers.")
    elif not _number(label):
        raise RequestError(f"{where}: a label is a text or a number.")
    elif texts == {True}:
        raise RequestError(f"{where}: the label is a number, where this endpoint's labels are texts.")


def _number(value: Any) -> bool:
    return type(value) in NUMBERS and -LARGEST <= value <= LARGEST
