"""Anyone can use the judge: unmodified Argo Rollouts and Flagger bodies over HTTP, without a project."""

from __future__ import annotations

import http.client
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from .conftest import free_port, wait_until

# As in an AnalysisTemplate; `{{args.x}}` is substituted by the controller, so that numbers arrive as strings.
ARGO = {
    "successCondition": 'result == "pass"',
    "failureCondition": 'result == "fail"',
    "provider": {
        "web": {
            "method": "POST",
            "url": "/api/verdict",
            "headers": [{"key": "Content-Type", "value": "application/json"}],
            "jsonBody": {
                "analysis": "{{args.rollout}}",
                "champion": {"asked": "{{args.stable-asked}}", "failed": "{{args.stable-failed}}"},
                "challenger": {"asked": "{{args.canary-asked}}", "failed": "{{args.canary-failed}}"},
                "share": "{{args.share}}",
            },
            "jsonPath": "{$.verdict}",
        }
    },
}


class Judge:
    """`rivals judge` as a process, ended by its id."""

    def __init__(self, folder: Path) -> None:
        self.port, self.log = free_port(), folder / "judge.log"
        self.words = [sys.executable, "-m", "rivals", "judge", "--port", str(self.port)]
        self.folder = folder
        self.start()

    def start(self) -> None:
        with self.log.open("ab") as stderr:
            self.process = subprocess.Popen(self.words, cwd=self.folder, stderr=stderr)
        wait_until(self.up, 20, self.log)

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(timeout=20)

    def up(self) -> bool:
        try:
            return self.ask("GET", "/api/verdict")[0] == 400
        except OSError:
            return False

    def ask(self, method: str, path: str, body: Any = None, raw: bytes = b"") -> tuple[int, Any]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        try:
            headers = {"Content-Type": "application/json"}
            connection.request(method, path, raw or (None if body is None else json.dumps(body).encode()), headers)
            reply = connection.getresponse()
            return reply.status, json.loads(reply.read())
        finally:
            connection.close()


@pytest.fixture(scope="module")
def judge(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Judge]:
    running = Judge(tmp_path_factory.mktemp("judge"))
    yield running
    running.stop()


def measure(judge: Judge, metric: dict[str, Any], args: dict[str, Any]) -> str:
    """One measurement as the controller takes it: substitute, send, read the path, evaluate both conditions."""
    web = metric["provider"]["web"]
    text = json.dumps({"body": web.get("jsonBody"), "url": web["url"]})
    for name, value in args.items():
        text = text.replace("{{args." + name + "}}", str(value))
    sent = json.loads(text)
    status, result = judge.ask(web.get("method", "GET"), sent["url"], sent["body"])
    if not 200 <= status < 300:
        return "Error"
    for key in web["jsonPath"].strip("{}$.").split("."):
        result = result[key]
    conditions = [
        eval(metric[name], {"result": Dotted(result) if isinstance(result, dict) else result, "true": True})
        for name in ("failureCondition", "successCondition")
    ]
    return "Failed" if conditions[0] else "Successful" if conditions[1] else "Inconclusive"


class Dotted(dict[str, Any]):
    """A map whose keys are read with a dot, as the controller's expressions do."""

    __getattr__ = dict.__getitem__


def args(rollout: str, stable: tuple[int, int], canary: tuple[int, int], share: float) -> dict[str, Any]:
    names = ("stable-asked", "stable-failed", "canary-asked", "canary-failed")
    return {"rollout": rollout, "share": share, **dict(zip(names, (*stable, *canary), strict=True))}


def test_an_argo_web_metric_passes_an_equal_canary_and_fails_a_bad_one(judge: Judge) -> None:
    assert measure(judge, ARGO, args("equal", (900, 9), (100, 1), 0.1)) == "Inconclusive"
    assert measure(judge, ARGO, args("equal", (90_000, 900), (10_000, 95), 0.1)) == "Successful"
    assert measure(judge, ARGO, args("bad", (900, 9), (100, 30), 0.1)) == "Failed"


def test_argo_reads_the_documented_path_with_the_documented_expressions(judge: Judge) -> None:
    judge.ask("POST", "/api/verdict", counts("remembered", (90_000, 900), (10_000, 95)))
    metric = {
        "successCondition": "result.ok",
        "failureCondition": "result.failed",
        "provider": {"web": {"url": "/api/verdict?analysis={{args.rollout}}", "jsonPath": "{$.data}"}},
    }
    assert measure(judge, metric, {"rollout": "remembered"}) == "Successful"
    assert measure(judge, metric, {"rollout": "unheard-of"}) == "Error"


def counts(analysis: str, champion: tuple[int, int], challenger: tuple[int, int], share: float = 0.1) -> dict[str, Any]:
    arms = {"champion": champion, "challenger": challenger}
    return {
        "analysis": analysis,
        "share": share,
        **{name: {"asked": asked, "failed": failed} for name, (asked, failed) in arms.items()},
    }


def webhook(name: str, hook: str | None = None, checksum: str = "85d557f47b", **metadata: str) -> dict[str, Any]:
    """What Flagger posts."""
    body = {"name": name, "namespace": "test", "phase": "Progressing", "checksum": checksum}
    return {**body, "metadata": {**metadata, **({"hook": hook} if hook else {})}}


HOOKS = ("rollout", "confirm-traffic-increase", "confirm-promotion", "rollback", "event", None)


@pytest.mark.parametrize(
    ("name", "champion", "challenger", "verdict", "go"),
    [
        ("good", (90_000, 900), (10_000, 95), "pass", ("rollout", "confirm-traffic-increase", "confirm-promotion", "event", None)),
        ("bad", (900, 9), (100, 30), "fail", ("rollback", "event")),
        ("young", (900, 9), (100, 1), "inconclusive", ("rollout", "event")),
    ],
)  # fmt: skip
def test_a_flagger_webhook_goes_on_or_halts_by_counts_that_were_posted(
    judge: Judge, name: str, champion: tuple[int, int], challenger: tuple[int, int], verdict: str, go: tuple[str, ...]
) -> None:
    judge.ask("POST", "/api/verdict", counts(f"test/{name}", champion, challenger))
    for hook in HOOKS:
        status, body = judge.ask("POST", "/api/verdict", webhook(name, hook))
        assert (body["verdict"], 200 <= status < 300) == (verdict, hook in go), hook


def test_a_flagger_webhook_with_counts_in_its_metadata_is_judged_by_them(judge: Judge) -> None:
    numbers = {"champion.asked": "900", "champion.failed": "9", "challenger.asked": "100", "challenger.failed": "30"}
    status, body = judge.ask("POST", "/api/verdict", webhook("podinfo", share="0.1", **numbers))
    assert (status, body["verdict"]) == (412, "fail")
    assert body["reason"] == "The challenger: it fails more often than the champion: 30 of 100 questions failed."


def test_a_new_checksum_is_a_new_rollout(judge: Judge) -> None:
    judge.ask("POST", "/api/verdict", webhook("again"))
    judge.ask("POST", "/api/verdict", counts("test/again", (900, 9), (100, 30)))
    assert judge.ask("POST", "/api/verdict", webhook("again"))[1]["verdict"] == "fail"
    assert judge.ask("POST", "/api/verdict", webhook("again", checksum="new"))[1]["verdict"] == "inconclusive"
    judge.ask("POST", "/api/verdict", counts("test/again", (900, 9), (100, 30)))
    _, body = judge.ask("POST", "/api/verdict", webhook("again", checksum="new"))
    assert body["counts"]["challenger"] == {"asked": 0, "failed": 0}


def test_counts_posted_twice_count_once_and_a_restart_forgets_nothing(judge: Judge) -> None:
    first = judge.ask("POST", "/api/verdict", counts("kept", (900, 9), (100, 3)))
    assert judge.ask("PUT", "/api/verdict", counts("kept", (900, 9), (100, 3))) == first
    judge.stop()
    judge.start()
    assert judge.ask("GET", "/api/verdict?analysis=kept") == first


def test_exposures_are_judged_in_their_order(judge: Judge) -> None:
    rows = [{"variant": "challenger", "outcome": "error", "share": 0.1, "unit": f"u{n}"} for n in range(6)]
    body = {"analysis": "rows", "post": 1, "exposures": rows}
    first = judge.ask("POST", "/api/verdict", body)
    assert (first[0], first[1]["verdict"]) == (200, "fail")
    assert first[1]["counts"]["challenger"] == {"asked": 6, "failed": 6}
    assert judge.ask("POST", "/api/verdict", body) == first  # the same batch number counts once


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ([], "JSON object"),
        ({}, "analysis names what is judged"),
        ({"analysis": "x", "champion": {"asked": 1, "failed": 0}}, "both arms are needed"),
        (counts("x", (1, 2), (1, 0)), "cannot have failed"),
        (counts("x", (-1, 0), (1, 0)), "whole number"),
        (counts("x", (1, 0), (1, 0), 1.0), "above 0 and below 1"),
        (counts("x", (1, 0), (1, 0)) | {"share": "ten"}, "share is a number"),
        (counts("x", (1, 0), (1, 0)) | {"alpha": 2}, "alpha is a number"),
        (counts("x", (1, 0), (True, 0)), "is a number"),
        (counts("x", (1, 0), ("9" * 400, 0)), "whole number|is a number"),
        ({"analysis": "x", "exposures": [{"variant": "blue"}], "post": 1}, "champion or challenger"),
        ({"analysis": "x", "exposures": [{"variant": "champion"}], "post": 1}, "failed"),
        ({"analysis": "x", "exposures": []}, "post"),
        (webhook("x", "confirm-lunch"), "There is no hook"),
        ({**webhook("x"), "metadata": 3}, "metadata"),
        ({"analysis": "x" * 300}, "at most 200"),
    ],
)  # fmt: skip
def test_a_bad_body_is_a_400_with_one_sentence(judge: Judge, body: Any, said: str) -> None:
    status, answer = judge.ask("POST", "/api/verdict", body)
    assert status == 400
    assert re.search(said, answer["error"])


def test_bytes_that_are_not_json_are_a_400(judge: Judge) -> None:
    for raw in (b"{", b"\xff\xfe", b'{"analysis": NaN}', b'{"analysis": 1e999}'):
        assert judge.ask("POST", "/api/verdict", raw=raw)[0] == 400


def test_rules_cannot_change_in_the_middle(judge: Judge) -> None:
    judge.ask("POST", "/api/verdict", counts("fixed", (900, 9), (100, 3)))
    status, body = judge.ask("POST", "/api/verdict", counts("fixed", (900, 9), (100, 3)) | {"alpha": 0.2})
    assert status == 400
    assert "fixed with its first post" in body["error"]


def test_the_judge_stays_on_loopback_without_a_token(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "rivals", "judge", "--host", "0.0.0.0"],
        cwd=tmp_path, capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert done.returncode == 2
    assert "RIVALS_TOKEN" in done.stderr
