"""The comment is written once and renewed after that, on either provider's API."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from rivals.ci.comments import comment, place_of
from rivals.errors import RivalsError


class Api(BaseHTTPRequestHandler):
    notes: dict[int, str]

    def log_message(self, *_: Any) -> None: ...

    def _answer(self, value: Any) -> None:
        raw = json.dumps(value).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(raw)))
        self.end_headers()
        self.wfile.write(raw)

    def do_GET(self) -> None:
        self._answer([{"id": number, "body": body} for number, body in self.notes.items()])

    def _write(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["body"]
        last = self.path.rsplit("/", 1)[1]
        self.notes[int(last) if last.isdigit() else len(self.notes) + 1] = body
        self._answer({})

    do_POST = do_PUT = do_PATCH = _write  # noqa: N815 -- the names of its base class


@pytest.fixture
def api() -> Iterator[tuple[str, dict[int, str]]]:
    handler = type("Own", (Api,), {"notes": {1: "looks good"}})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}", handler.notes
        server.shutdown()


def gitlab(url: str) -> dict[str, str]:
    return {"CI_API_V4_URL": url, "CI_PROJECT_ID": "7", "CI_MERGE_REQUEST_IID": "3", "RIVALS_CI_TOKEN": "t"}


def github(url: str) -> dict[str, str]:
    where = {"GITHUB_REPOSITORY": "someone/flights", "GITHUB_REF": "refs/pull/3/merge"}
    return {"GITHUB_API_URL": url, "GITHUB_TOKEN": "t", **where}


@pytest.mark.parametrize("provider", [gitlab, github])
def test_a_comment_is_written_and_then_renewed(provider: Any, api: tuple[str, dict[int, str]]) -> None:
    url, notes = api
    place = place_of(provider(url))
    assert place is not None
    assert comment(place, "first") == "written"
    assert comment(place, "second") == "renewed"
    assert notes == {1: "looks good", 2: "<!-- rivals -->\nsecond"}


def test_without_a_merge_request_there_is_no_place() -> None:
    assert place_of({"GITHUB_REF": "refs/heads/main"}) is None


def test_a_missing_token_is_named() -> None:
    with pytest.raises(RivalsError, match="RIVALS_CI_TOKEN"):
        place_of({**gitlab("http://127.0.0.1:1"), "RIVALS_CI_TOKEN": ""})
