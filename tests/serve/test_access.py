"""The access log tells of every answer, in time; and pages of other origins are told nothing they may not read."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rivals.serve import access
from rivals.serve.access import AccessLog
from rivals.serve.http import HttpRequest

from .stage import Stage, raw, table

Make = Callable[..., Stage]
SHOP = {"Origin": "https://shop.example"}
ASKS = {**SHOP, "Access-Control-Request-Method": "POST"}


def lines(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "access-0.log").read_text().splitlines()]


def up(stage: Make, **config: Any) -> Stage:
    made = stage(**config)
    made.publish(table({"weak": (made.weak, 1.0)}))
    made.start()
    return made


def test_every_answer_has_a_line_even_one_to_no_request(stage: Make) -> None:
    made = up(stage, access_log=True)
    made.infer()
    made.ask("GET", "/v2/health/live")
    made.ask("GET", "/nowhere")
    raw(made.port, b"what is this\r\n\r\n")
    made.stop()
    told = [(line["method"], line["path"], line["status"]) for line in lines(made.run_dir)]
    assert told == [
        ("POST", "/v2/models/toy/infer", 200),
        ("GET", "/v2/health/live", 200),
        ("GET", "/nowhere", 404),
        ("", "", 400),
    ]
    assert all(line["ms"] >= 0 and line["time"] > 1e9 and line["bytes"] > 0 for line in lines(made.run_dir))
    assert (made.run_dir / "access-0.log").stat().st_mode & 0o777 == 0o600


def test_nothing_is_logged_where_nobody_asks(stage: Make) -> None:
    made = up(stage)
    made.infer()
    made.stop()
    assert not list(made.run_dir.glob("access*"))


def test_more_lines_than_there_is_room_for_are_dropped_and_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(access, "WAITING", 2)
    monkeypatch.setattr(access, "EVERY", 60.0)
    log = AccessLog(tmp_path, 0)
    for number in range(5):
        log.told(HttpRequest("GET", f"/{number}", {}, b"", 0.0), 200, 1)
    log.close()
    assert [line["path"] for line in lines(tmp_path)] == ["/0", "/1"]
    assert "access.dropped lines=3" in caplog.text


def test_a_large_file_makes_room_for_the_next(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(access, "LARGEST", 10)
    for number in range(3):
        log = AccessLog(tmp_path, 0)
        log.told(HttpRequest("GET", f"/{number}", {}, b"", 0.0), 200, 1)
        log.close()
    assert [line["path"] for line in lines(tmp_path)] == ["/2"]
    assert len(list(tmp_path.iterdir())) == 2


# -- pages of other origins ------------------------------------------------------------------------------


def test_browsers_are_told_nothing_by_default(stage: Make) -> None:
    made = up(stage)
    status, headers, _ = made.ask("OPTIONS", "/v2/models/toy/infer", **ASKS)
    assert (status, [name for name in headers if name.startswith("access-control")]) == (405, [])
    _, headers, _ = made.infer(**SHOP)
    assert not [name for name in headers if name.startswith("access-control")]


def test_an_origin_that_is_named_may_ask_and_others_may_not(stage: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RIVALS_TOKEN", "secret")  # a browser asks first without it
    made = up(stage, cors=("https://shop.example",))
    status, headers, _ = made.ask("OPTIONS", "/v2/models/toy/infer", **ASKS)
    assert (status, headers["access-control-allow-origin"]) == (200, "https://shop.example")
    assert "POST" in headers["access-control-allow-methods"]
    assert "X-Rivals-Unit" in headers["access-control-allow-headers"]
    status, headers, _ = made.infer(**SHOP, Authorization="Bearer secret")
    assert (status, headers["access-control-allow-origin"], headers["vary"]) == (200, "https://shop.example", "Origin")
    assert "X-Rivals-Variant" in headers["access-control-expose-headers"]
    status, headers, _ = made.ask("OPTIONS", "/v2/models/toy/infer", Origin="https://evil.example")
    assert status == 401
    assert "access-control-allow-origin" not in headers


def test_refusals_can_be_read_by_a_page_too(stage: Make) -> None:
    made = up(stage, cors=("*",))
    status, headers, _ = made.ask("POST", "/v2/models/toy/infer", {"inputs": []}, **SHOP)
    assert (status, headers["access-control-allow-origin"]) == (400, "https://shop.example")
