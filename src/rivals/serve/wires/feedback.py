"""``POST /v2/feedback``: labels, rewards and ratings, one or many; of an exposure by its id, or of a unit in a time.

``{"id": "<request id>/<row>", "label": 1}`` or ``{"unit": "u1", "from": t0, "to": t1, "reward": 3.2}``: the latter is
of every exposure of that unit in the time [t0, t1), whether it is known yet or not.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from rivals.errors import RequestError
from rivals.serve.inputs import LATEST, NUMBERS, printable
from rivals.serve.tokens import Tokens
from rivals.serve.wires.oip import reason
from rivals.values import Feedback

LARGEST = 2**63 - 1  # in size: what the journal can hold
LONGEST_LABEL = 256  # characters: it is part of a key in the store
LONGEST = 300  # characters of an exposure's id: a request's id and a row
SAYS = ("label", "reward", "rating")
ABOUT = ("id", "unit", "from", "to", "time")


@dataclass(frozen=True, slots=True)
class Terms:
    """What feedback an endpoint takes: the range of a rating, whose time counts, and labels as its own are.

    No labels: they are numbers. None: nobody knows yet.
    """

    labels: tuple[Any, ...] | None = ()
    rating: tuple[float, float] | None = None
    own_time: bool = False  # a "time" in the body goes before the time of receipt


def feedback(raw: bytes, now: float, terms: Terms, tokens: Tokens | None = None, token: str = "") -> list[Feedback]:
    """Read one, a list, or ``{"feedback": [...]}``; all of it is good, or nothing is taken.

    ``now`` is the endpoint's time. With ``tokens`` each needs one that fits: its "token", or else ``token``.
    Raises ``RequestError``.
    """
    try:
        body = msgspec.json.decode(raw)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise RequestError(f"The body is not JSON: {reason(error)}.") from None
    if isinstance(body, dict) and "feedback" in body:
        body = body["feedback"]
    many = body if isinstance(body, list) else [body]
    found = []
    for number, one in enumerate(many):
        where = f"Feedback {number}"
        if not isinstance(one, dict) or one.keys() - {*ABOUT, *SAYS, "token"}:
            raise RequestError(
                f'{where} is an object as {{"id": "...", "label": ...}}, with "reward" and "time" if you like.'
            )
        if "id" in one and "unit" in one:
            raise RequestError(f"{where} names an id and a unit; it is of one of them.")
        found.append(statement(where, one, now, terms))
        if tokens is not None:
            _signed(where, found[-1], one.get("token", token), tokens, now)
    return found


def statement(where: str, body: Mapping[str, Any], now: float, terms: Terms) -> Feedback:
    """One piece of feedback, checked; keys of no meaning are passed over. Raises ``RequestError``."""
    name, when = body.get("id"), body.get("time")
    unit, start, end = _window(where, body) if name is None and "unit" in body else ("", 0.0, 0.0)
    if not unit:
        if not isinstance(name, str) or not name or len(name) > LONGEST:
            raise RequestError(
                f"{where} has no id; it takes the exposure's, '<request id>/<row>', or unit, from and to."
            )
        printable(f"The request's part of an id in {where.lower()}", name.rpartition("/")[0] or name)
        printable(f"The row's part of an id in {where.lower()}", name.rpartition("/")[2])
        where = f"{where} ({name!r})"
    label, reward = body.get("label"), _reward(where, body, terms)
    if label is None and reward is None:
        raise RequestError(f"{where} has neither label nor reward.")
    if when is not None and not _moment(when):
        raise RequestError(f"{where}: a time is in seconds since the epoch.")
    if label is not None:
        _check(where, label, terms.labels)
    time = float(when) if terms.own_time and when is not None else now
    return Feedback("" if unit else str(name), label, reward, time, unit, start, end)


def _signed(where: str, one: Feedback, token: Any, tokens: Tokens, now: float) -> None:
    if one.unit:
        raise RequestError(f"{where} is of a unit, and no token is: bring it with `rivals feedback FILE`.", 403)
    if not isinstance(token, str):
        raise RequestError(f"{where}: a token is a text.")
    tokens.check(where, one.id, token, now)


def _window(where: str, body: Mapping[str, Any]) -> tuple[str, float, float]:
    unit, start, end = body.get("unit"), body.get("from"), body.get("to")
    if not isinstance(unit, str) or not unit:
        raise RequestError(f"{where}: a unit is a text.")
    printable(f"The unit in {where.lower()}", unit)
    if not (_moment(start) and _moment(end)) or not start < end:  # type: ignore[operator]  # both are numbers then
        raise RequestError(f"{where}: 'from' and 'to' are seconds since the epoch, the earlier one first.")
    return unit, float(start), float(end)  # type: ignore[arg-type]  # as above


def _reward(where: str, body: Mapping[str, Any], terms: Terms) -> float | None:
    """The reward; a rating is one too, from 0 at the low end of its range to 1 at the high end."""
    reward, rating = body.get("reward"), body.get("rating")
    if rating is None:
        if reward is not None and not _number(reward):
            raise RequestError(f"{where}: a reward is a number.")
        return None if reward is None else float(reward)
    if reward is not None:
        raise RequestError(f"{where} has a reward and a rating; a rating is a reward, so send one of them.")
    if terms.rating is None:
        raise RequestError(f"{where}: this endpoint declares no range for ratings; 'endpoint.feedback.rating' does.")
    low, high = terms.rating
    if not _number(rating) or not low <= rating <= high:
        raise RequestError(f"{where}: a rating is a number from {low:g} to {high:g}.")
    return (float(rating) - low) / (high - low)


def _check(where: str, label: Any, labels: Sequence[Any] | None) -> None:
    """A label is a text or a number, as the endpoint's labels are; a class nobody has seen yet may come."""
    texts = (
        {True, False} if labels is None else {isinstance(one, str) for one in labels} or {False}
    )  # regression: numbers
    if isinstance(label, str):
        if len(label) > LONGEST_LABEL:
            raise RequestError(f"{where}: a label takes at most {LONGEST_LABEL} characters.")
        if texts == {False}:
            raise RequestError(f"{where}: the label is a text, where this endpoint's labels are numbers.")
    elif not _number(label):
        raise RequestError(f"{where}: a label is a text or a number.")
    elif texts == {True}:
        raise RequestError(f"{where}: the label is a number, where this endpoint's labels are texts.")


def _number(value: Any) -> bool:
    return type(value) in NUMBERS and -LARGEST <= value <= LARGEST


def _moment(value: Any) -> bool:
    return _number(value) and -LATEST <= value <= LATEST
