"""Ask a served endpoint and tell it what became of its answers: ``Client``, and ``AsyncClient`` with the same verbs.

What is sent, and when again, is decided once for both (``_calls``): a retry is the same request with the same id, so it
meets the same variant. It is sent only where the endpoint did not answer or said "not now", only while the deadline
stands, after a random wait (full jitter: M. Brooker, Exponential Backoff And Jitter, AWS 2015), and only while the
retry budget lasts, so that clients never multiply an outage (RetryBudget of Twitter's Finagle).
"""

from __future__ import annotations

import asyncio
import json
import math
import os
import random
import time
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self

from rivals.errors import MissingExtra, Overloaded, RequestError, RivalsError

if TYPE_CHECKING:
    import httpx

DEADLINE = 5.0  # seconds for a call, its retries included
RESERVE, EARNED, MOST = 10.0, 0.1, 100.0  # retries at hand at first, earned by a call, and saved at most
FIRST, LONGEST = 0.05, 2.0  # seconds of the first wait at most, doubled each time, and of any
AGAIN = frozenset({429, 503})
TOKEN = "X-Rivals-Feedback-Token"  # noqa: S105 -- a header's name


@dataclass(frozen=True, slots=True)
class Prediction:
    """An answer: ``outputs`` is (rows, labels) probabilities or (rows, 1) values, as lists.

    ``degraded``: the champion stood in for the variant that was chosen.
    """

    id: str
    variant: str
    revision: int
    degraded: bool
    outputs: list[list[float]]
    token: str = field(default="", repr=False)  # what feedback needs, where the endpoint signs its answers


@dataclass(slots=True)
class _Send:
    """One attempt: a method, a path, headers, a body, and the seconds it may take."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes | None
    seconds: float


@dataclass(slots=True)
class _Wait:
    seconds: float


@dataclass(slots=True)
class _Reply:
    """What came back; status 0: nothing did, and ``body`` says why."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def sentence(self) -> str:
        try:
            return str(json.loads(self.body)["error"])
        except (ValueError, KeyError, TypeError):
            return f"status {self.status}: {self.body[:200].decode(errors='replace')}"


_Calls = Generator[_Send | _Wait, _Reply | None, _Reply]


class _Endpoint:
    """All that is not a socket."""

    def __init__(
        self, url: str, endpoint: str, *, token: str = "", deadline: float = DEADLINE, retries: int = 2
    ) -> None:
        if not url.startswith(("http://", "https://")) or deadline <= 0 or retries < 0:
            raise RivalsError("A client takes a URL as http://host:8080, a deadline above 0 and retries from 0.")
        self.url, self.endpoint, self.deadline, self.retries = url.rstrip("/"), endpoint, deadline, retries
        self._headers = {"Content-Type": "application/json", **({"Authorization": f"Bearer {token}"} if token else {})}
        self._budget = RESERVE
        self._random = random.Random()  # noqa: S311 -- when to try again is no secret

    def _asked(self, rows: Any, unit: str, variant: str, name: str) -> tuple[str, str, dict[str, str], bytes]:
        headers = {"X-Request-Id": name or os.urandom(16).hex()}
        headers |= {key: value for key, value in (("X-Rivals-Unit", unit), ("X-Rivals-Variant", variant)) if value}
        inputs = [
            {"name": column, "shape": [len(values)], "datatype": _datatype(values), "data": values}
            for column, values in columns_of(rows).items()
        ]
        return "POST", f"/v2/models/{self.endpoint}/infer", headers, json.dumps({"inputs": inputs}).encode()

    @staticmethod
    def _answer(reply: _Reply) -> Prediction:
        told = json.loads(reply.body)
        output = told["outputs"][0]
        data, width = output["data"], output["shape"][1]
        return Prediction(
            id=told["id"],
            variant=told["model_version"],
            revision=int(reply.headers["x-rivals-revision"]),
            degraded=reply.headers.get("x-rivals-degraded") == "true",
            outputs=[data[start : start + width] for start in range(0, len(data), width)],
            token=reply.headers.get(TOKEN.lower(), ""),
        )

    @staticmethod
    def _told(answer: Prediction | str, row: int, said: Mapping[str, Any]) -> dict[str, Any]:
        known = {key: value for key, value in said.items() if value is not None}
        if not known:
            raise RivalsError("Feedback needs a label, a reward or a rating.")
        name = answer if isinstance(answer, str) else answer.id
        token = "" if isinstance(answer, str) else answer.token
        return {"id": f"{name}/{row}", **known, **({"token": token} if token else {})}

    def _calls(self, method: str, path: str, headers: Mapping[str, str], body: bytes | None) -> _Calls:
        """Attempts and waits, until there is an answer to give back. Raises ``RivalsError`` where there is none."""
        end = time.monotonic() + self.deadline
        self._budget = min(MOST, self._budget + EARNED)
        reply = _Reply(0, {}, b"")
        for attempt in range(self.retries + 1):
            left = end - time.monotonic()
            sent = {**self._headers, **headers, "X-Rivals-Deadline-Ms": f"{max(1.0, left * 1e3):.0f}"}
            reply = (yield _Send(method, path, sent, body, max(0.001, left))) or reply
            if reply.status and reply.status not in AGAIN:
                break
            wait = self._random.uniform(0.0, min(LONGEST, FIRST * 2**attempt))
            wait = max(wait, _seconds(reply.headers.get("retry-after", "")))
            if attempt == self.retries or self._budget < 1 or time.monotonic() + wait >= end:
                break
            self._budget -= 1
            yield _Wait(wait)
        if reply.status == 200:  # noqa: PLR2004 -- HTTP's
            return reply
        if reply.status in AGAIN:
            retry_after = round(_seconds(reply.headers.get("retry-after", "")))
            raise Overloaded(reply.sentence, retry_after or 1, reply.status)
        if reply.status:
            raise RequestError(reply.sentence, reply.status)
        if time.monotonic() >= end:
            raise RequestError(f"{self.url} gave no answer within {self.deadline:g} s.", 504)
        raise RivalsError(f"{self.url} cannot be reached: {reply.body.decode()}.")


class Client(_Endpoint):
    """A served endpoint, from anywhere: ``Client("http://127.0.0.1:8080", "flights").predict(rows)``.

    ``deadline`` is in seconds, over all ``retries`` of a call. May be used by several threads. Every verb raises
    ``RequestError`` with the endpoint's sentence, ``Overloaded`` where it says "not now", ``RivalsError`` where nobody
    answers. Needs the extra ``client``.
    """

    def __init__(self, url: str, endpoint: str, **options: Any) -> None:
        super().__init__(url, endpoint, **options)
        self._http: httpx.Client = _httpx().Client(base_url=self.url)

    def predict(self, rows: Any, *, unit: str = "", variant: str = "", id: str = "") -> Prediction:  # noqa: A002 -- the protocol's word
        """Ask for rows: a mapping of columns, a list of mappings, or a data frame of pandas or polars.

        ``unit`` is what sticks to one variant, ``variant`` pins one by name, ``id`` names the request.
        """
        return self._answer(self._run(self._calls(*self._asked(rows, unit, variant, id))))

    def feedback(
        self, answer: Prediction | str, *, label: Any = None, reward: float | None = None, rating: float | None = None,
        row: int = 0,
    ) -> None:  # fmt: skip
        """Say what became of a row of an answer, or of a request's id; returns once that is safe on disk."""
        self.feedback_many([self._told(answer, row, {"label": label, "reward": reward, "rating": rating})])

    def feedback_many(self, told: Sequence[Mapping[str, Any]]) -> int:
        """The same for many, each as ``{"id": "<request id>/<row>", "label": ...}``; all are taken, or none."""
        reply = self._run(self._calls("POST", "/v2/feedback", {}, json.dumps(list(told)).encode()))
        return int(json.loads(reply.body)["accepted"])

    def metadata(self) -> dict[str, Any]:
        """What the endpoint takes and gives, by the Open Inference Protocol."""
        told: dict[str, Any] = json.loads(self._run(self._calls("GET", f"/v2/models/{self.endpoint}", {}, None)).body)
        return told

    def ready(self) -> bool:
        """Whether it answers and says that it is ready."""
        try:
            return bool(self._run(self._calls("GET", "/v2/health/ready", {}, None)))
        except RivalsError:
            return False

    def close(self) -> None:
        """Let go of the connections."""
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _run(self, calls: _Calls) -> _Reply:
        reply: _Reply | None = None
        while True:
            try:
                step = calls.send(reply)
            except StopIteration as end:
                answer: _Reply = end.value
                return answer
            reply = None
            if isinstance(step, _Send):
                reply = self._send(step)
            else:
                time.sleep(step.seconds)

    def _send(self, step: _Send) -> _Reply:
        http = _httpx()
        try:
            reply = self._http.request(
                step.method, step.path, headers=step.headers, content=step.body, timeout=step.seconds
            )
        except http.TransportError as error:
            return _Reply(0, {}, f"{type(error).__name__}: {error}".encode())
        return _Reply(reply.status_code, reply.headers, reply.content)


class AsyncClient(_Endpoint):
    """``Client`` for asyncio: the same verbs, awaited."""

    def __init__(self, url: str, endpoint: str, **options: Any) -> None:
        super().__init__(url, endpoint, **options)
        self._http: httpx.AsyncClient = _httpx().AsyncClient(base_url=self.url)

    async def predict(self, rows: Any, *, unit: str = "", variant: str = "", id: str = "") -> Prediction:  # noqa: A002 -- the protocol's word
        """As ``Client.predict``."""
        return self._answer(await self._run(self._calls(*self._asked(rows, unit, variant, id))))

    async def feedback(
        self, answer: Prediction | str, *, label: Any = None, reward: float | None = None, rating: float | None = None,
        row: int = 0,
    ) -> None:  # fmt: skip
        """As ``Client.feedback``."""
        await self.feedback_many([self._told(answer, row, {"label": label, "reward": reward, "rating": rating})])

    async def feedback_many(self, told: Sequence[Mapping[str, Any]]) -> int:
        """As ``Client.feedback_many``."""
        reply = await self._run(self._calls("POST", "/v2/feedback", {}, json.dumps(list(told)).encode()))
        return int(json.loads(reply.body)["accepted"])

    async def metadata(self) -> dict[str, Any]:
        """As ``Client.metadata``."""
        reply = await self._run(self._calls("GET", f"/v2/models/{self.endpoint}", {}, None))
        told: dict[str, Any] = json.loads(reply.body)
        return told

    async def ready(self) -> bool:
        """As ``Client.ready``."""
        try:
            return bool(await self._run(self._calls("GET", "/v2/health/ready", {}, None)))
        except RivalsError:
            return False

    async def close(self) -> None:
        """Let go of the connections."""
        await self._http.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def _run(self, calls: _Calls) -> _Reply:
        reply: _Reply | None = None
        while True:
            try:
                step = calls.send(reply)
            except StopIteration as end:
                answer: _Reply = end.value
                return answer
            reply = None
            if isinstance(step, _Send):
                reply = await self._send(step)
            else:
                await asyncio.sleep(step.seconds)

    async def _send(self, step: _Send) -> _Reply:
        http = _httpx()
        try:
            reply = await self._http.request(
                step.method, step.path, headers=step.headers, content=step.body, timeout=step.seconds
            )
        except http.TransportError as error:
            return _Reply(0, {}, f"{type(error).__name__}: {error}".encode())
        return _Reply(reply.status_code, reply.headers, reply.content)


def columns_of(rows: Any) -> dict[str, list[Any]]:
    """Rows as columns of plain values; NaN and every other gap is None. Raises ``RivalsError``."""
    if hasattr(rows, "to_dict") and hasattr(rows, "columns"):
        rows = rows.to_dict(as_series=False) if hasattr(rows, "to_dicts") else rows.to_dict("list")
    elif isinstance(rows, Sequence) and not isinstance(rows, str) and all(isinstance(row, Mapping) for row in rows):
        names = list(dict.fromkeys(name for row in rows for name in row))
        rows = {name: [row.get(name) for row in rows] for name in names}
    if not isinstance(rows, Mapping) or not rows:
        raise RivalsError("Rows are a mapping of columns, a list of mappings, or a data frame, with a row at least.")
    return {str(name): [_plain(str(name), value) for value in values] for name, values in rows.items()}


def _plain(column: str, value: Any) -> Any:
    plain = value.item() if hasattr(value, "item") else value  # numpy's numbers
    if plain is None or isinstance(plain, (str, bool, int)):
        return plain
    if isinstance(plain, float):
        if math.isinf(plain):
            raise RivalsError(f"Column {column!r} holds an infinite number; models take finite ones.")
        return None if math.isnan(plain) else plain
    if type(plain).__name__ in {"NAType", "NaTType"}:
        return None
    raise RivalsError(f"Column {column!r} holds a {type(plain).__name__}; send numbers, texts or None.")


def _datatype(values: Sequence[Any]) -> str:
    kinds = {type(value) for value in values} - {type(None)}
    return "BYTES" if str in kinds else "BOOL" if kinds == {bool} else "FP64"


def _seconds(text: str) -> float:
    """Retry-After in seconds; 0 where it is none, or a date."""
    try:
        return max(0.0, float(text))
    except ValueError:
        return 0.0


def _httpx() -> Any:
    try:
        import httpx  # noqa: PLC0415 -- an extra
    except ModuleNotFoundError:
        raise MissingExtra("The client needs the package httpx: pip install 'rivals[client]'.") from None
    return httpx
