"""Real worker processes on loopback: sticky, swapped, killed, and asked all sorts of things."""

from __future__ import annotations

import gzip
import http.client
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
import zlib
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

import msgspec
import numpy as np
import pytest
import tritonclient.http as triton

from rivals.serve import entries
from rivals.serve.reconcile import publish_lease, publish_table
from rivals.serve.runtimes import open_bundle
from rivals.serve.server import WorkerConfig
from rivals.values import Columns, Feedback, Outcome

from .stage import ROW, Stage, ask, infer, raw, table

Make = Callable[..., Stage]


def split(stage: Stage, share: float = 0.5, revision: int = 1) -> Any:
    return table({"weak": (stage.weak, 1 - share), "strong": (stage.strong, share)}, revision)


@pytest.fixture
def one(stage: Make) -> Stage:
    """One worker with the champion alone."""
    made = stage(extra=("note",), unit="user", time="t")
    made.publish(table({"weak": (made.weak, 1.0)}))
    made.start()
    return made


# -- the same variant, whoever is asked ---------------------------------------------------------------------


def test_a_unit_meets_one_variant_in_every_worker_and_after_a_restart(stage: Make) -> None:
    made = stage()
    made.publish(split(made))
    made.start([0, 1])
    units = [f"unit {number}" for number in range(120)]

    def met() -> dict[str, str]:
        return {unit: made.infer(X_Rivals_Unit=unit)[1]["x-rivals-variant"] for unit in units}

    first = met()  # each on a connection of its own, so that both workers are asked
    assert 30 < Counter(first.values())["strong"] < 90
    assert met() == first
    made.stop()
    made.start([0])
    assert met() == first
    asked = {batch.file[0] for batch in entries.read(made.run_dir, {}, 10**6)}
    assert asked == {"0", "1"}


def test_the_unit_is_the_header_then_the_column_then_the_request(stage: Make) -> None:
    made = stage(unit="user")
    made.publish(split(made))
    made.start()

    def variants(rows: dict[str, Any], **headers: str) -> set[str]:
        return {made.infer({**ROW, **rows}, **headers)[1]["x-rivals-variant"] for _ in range(12)}

    assert len(variants({"user": "u"})) == 1
    assert len(variants({"user": 7})) == 1
    assert len(variants({}, X_Rivals_Unit="u")) == 1
    assert variants({"user": "other"}, X_Rivals_Unit="u") == variants({"user": "u"}) == variants({}, X_Rivals_Unit="u")
    assert len(variants({})) == 2
    assert made.infer({**ROW, "user": 1}, {**ROW, "user": 2})[0] == 400


# -- swapping, leases -----------------------------------------------------------------------------------------


class Load(threading.Thread):
    """Asks as fast as it can until stopped; keeps what came back."""

    def __init__(self, stage: Stage) -> None:
        super().__init__()
        self.stage, self.stopped = stage, threading.Event()
        self.replies: list[tuple[int, str, str]] = []
        self.ended: Exception | None = None

    def run(self) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self.stage.port, timeout=10)
        try:
            while not self.stopped.is_set():
                status, headers, _ = ask(connection, "POST", "/v2/models/toy/infer", infer(ROW))
                self.replies.append((status, headers["x-rivals-revision"], headers["x-rivals-variant"]))
        except (OSError, http.client.HTTPException) as error:
            self.ended = error
        finally:
            connection.close()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stopped.set()
        self.join()


def test_a_hot_swap_under_load_fails_nobody(stage: Make) -> None:
    made = stage()
    made.publish(table({"weak": (made.weak, 1.0)}))
    made.start([0, 1])
    with Load(made) as first, Load(made) as second:
        for revision in range(2, 22):
            champion = {"strong": made.strong} if revision % 2 else {"weak": made.weak}
            publish_table(made.run_dir, table({name: (digest, 1.0) for name, digest in champion.items()}, revision))
            time.sleep(0.06)
        made.says(lambda: first.replies[-1][1] == second.replies[-1][1] == "21")
    assert first.ended is second.ended is None
    replies = first.replies + second.replies
    assert {status for status, _, _ in replies} == {200}
    assert all(
        variant == ("strong" if int(revision) % 2 and revision != "1" else "weak") for _, revision, variant in replies
    )
    for load in (first, second):
        revisions = [int(revision) for _, revision, _ in load.replies]
        assert revisions == sorted(revisions)


def test_an_expired_lease_gives_the_champion_alone_and_a_new_one_the_split(stage: Make) -> None:
    made = stage()
    made.publish(split(made), lease=0.0)
    made.start()
    assert {made.infer()[1]["x-rivals-variant"] for _ in range(12)} == {"weak"}
    publish_lease(made.run_dir, 0.6)
    made.says(lambda: made.infer()[1]["x-rivals-variant"] == "strong")
    time.sleep(0.7)
    replies = [made.infer() for _ in range(12)]
    assert {(status, headers["x-rivals-variant"]) for status, headers, _ in replies} == {(200, "weak")}
    opens = [exposure for batch in entries.read(made.run_dir, {}, 10**6) for exposure in batch.opens]
    assert opens[0].propensity == opens[-1].propensity == {"weak": 1.0}
    assert {"weak": 0.5, "strong": 0.5} in [one.propensity for one in opens]


def test_a_broken_bundle_keeps_the_old_table_and_says_why(one: Stage) -> None:
    publish_table(one.run_dir, table({"weak": (one.weak, 0.5), "strong": ("0" * 64, 0.5)}, 2))
    one.says(lambda: "problem" in one.ask("GET", "/v2/models/toy")[2])
    assert "build the variant again" in one.ask("GET", "/v2/models/toy")[2]["problem"]
    assert one.infer()[1]["x-rivals-revision"] == "1"


# -- kills and drains -----------------------------------------------------------------------------------------


class Feeding(threading.Thread):
    """Asks and gives feedback; remembers what was acknowledged. Opens a new connection where one died."""

    def __init__(self, stage: Stage, name: str, stopped: threading.Event) -> None:
        super().__init__()
        self.stage, self.prefix, self.stopped = stage, name, stopped
        self.acknowledged: list[str] = []
        self.statuses: Counter[int] = Counter()

    def run(self) -> None:
        number = 0
        while not self.stopped.is_set():
            connection = http.client.HTTPConnection("127.0.0.1", self.stage.port, timeout=10)
            try:
                while not self.stopped.is_set():
                    number += 1
                    name = f"{self.prefix}-{number}"
                    self.statuses[
                        ask(connection, "POST", "/v2/models/toy/infer", infer(ROW), X_Request_Id=name)[0]
                    ] += 1
                    status, _, _ = ask(connection, "POST", "/v2/feedback", {"id": f"{name}/0", "label": 1})
                    self.statuses[status] += 1
                    if status == 200:
                        self.acknowledged.append(f"{name}/0")
            except (OSError, http.client.HTTPException):
                time.sleep(0.01)
            finally:
                connection.close()


def test_kill_9_loses_no_acknowledged_feedback_and_leaves_nothing_open(stage: Make) -> None:
    made = stage()
    made.publish(table({"weak": (made.weak, 1.0)}, shadows={"strong": made.strong}))
    made.start([0, 1])
    stopped = threading.Event()
    clients = [Feeding(made, f"c{number}", stopped) for number in range(3)]
    for client in clients:
        client.start()
    for slot in (0, 1, 0):
        before = sum(len(client.acknowledged) for client in clients)
        made.says(lambda before=before: sum(len(client.acknowledged) for client in clients) > before + 40)
        made.kill(slot)
        made.workers[slot : slot + 1] = []
        made.start([slot])
        made.workers.insert(slot, made.workers.pop())
    stopped.set()
    for client in clients:
        client.join()
    made.stop()
    batches = entries.read(made.run_dir, {}, 10**6)
    kept = Counter(one.id for batch in batches for one in batch.feedback)
    acknowledged = [name for client in clients for name in client.acknowledged]
    assert set(acknowledged) <= set(kept)
    assert set(kept.values()) == {1}
    assert {status for client in clients for status in client.statuses} == {200}
    opened = {(one.id, one.variant) for batch in batches for one in batch.opens}
    ended = {(end[0], end[1]) for batch in batches for end in batch.closes}
    assert opened == ended
    assert {end[2] for batch in batches for end in batch.closes} <= {Outcome.OK, Outcome.LOST}


def test_a_worker_that_is_stopped_answers_what_it_has(stage: Make) -> None:
    made = stage()
    made.publish(table({"weak": (made.weak, 1.0)}))
    made.start()
    with Load(made) as load:
        made.says(lambda: len(load.replies) > 50)
        made.workers[0].terminate()
        assert made.workers[0].wait(10) == 0
    assert {status for status, _, _ in load.replies} == {200}
    assert "worker.stopped slot=0 left=0" in made.log.read_text()
    batches = entries.read(made.run_dir, {}, 10**6)
    assert sum(len(batch.opens) for batch in batches) == sum(len(batch.closes) for batch in batches)


def test_workers_end_with_the_process_that_started_them(stage: Make) -> None:
    made = stage()
    made.publish(table({"weak": (made.weak, 1.0)}))
    config = WorkerConfig(str(made.run_dir), str(made.bundles), 0, "127.0.0.1", made.port)
    code = (
        "import sys, time, msgspec; from rivals.serve.supervisor import spawn, WorkerConfig\n"
        "print(spawn(msgspec.json.decode(sys.argv[1], type=WorkerConfig)).pid, flush=True); time.sleep(60)"
    )
    command = [sys.executable, "-c", code, msgspec.json.encode(config).decode()]
    with made.log.open("ab") as log, subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log) as parent:
        assert parent.stdout
        worker = int(parent.stdout.readline())
        made.says(lambda: "worker.started" in made.log.read_text())
        parent.kill()
    made.says(lambda: "worker.stopped" in made.log.read_text())
    made.says(
        lambda: not Path(f"/proc/{worker}").exists() or "Z" in Path(f"/proc/{worker}/stat").read_text().split()[2]
    )


# -- every wire -----------------------------------------------------------------------------------------------


def in_process(stage: Stage, digest: str, rows: list[dict[str, Any]]) -> np.ndarray:
    predictor = open_bundle(stage.bundles / digest, lambda name: stage.bundles / name)
    return predictor.predict(Columns({name: [row[name] for row in rows] for name in ROW}, len(rows)))


ROWS: list[dict[str, Any]] = [
    {"a": (seed % 7 - 3) / 2, "b": None if seed % 3 else seed / 8, "color": ("red", "blue", "é")[seed % 3]}
    for seed in range(24)
]


def test_all_clients_get_the_bundles_own_numbers(one: Stage) -> None:
    expected = in_process(one, one.weak, ROWS)
    columns = {name: [row[name] for row in ROWS] for name in ROW}
    split_rows = {"columns": list(ROW), "data": [[row[name] for name in ROW] for row in ROWS]}
    for body in (
        {"dataframe_split": split_rows},
        {"dataframe_records": ROWS},
        {"inputs": columns},
        {"instances": ROWS},
    ):
        status, _, reply = one.ask("POST", "/invocations", body)
        assert status == 200
        assert np.array_equal(np.array(reply["predictions"]), expected)
    lines = ["a,b,color", *(f"{row['a']},{'' if row['b'] is None else row['b']},{row['color']}" for row in ROWS)]
    status, _, reply = one.ask("POST", "/invocations", "\n".join(lines).encode(), Content_Type="text/csv")
    assert np.array_equal(np.array(reply["predictions"]), expected)
    _, _, reply = one.infer(*ROWS)
    assert np.array_equal(np.array(reply["outputs"][0]["data"]).reshape(-1, 2), expected)


@pytest.mark.parametrize("binary", [False, True], ids=["json", "binary"])
def test_tritonclient_works_unchanged(one: Stage, binary: bool) -> None:
    rows = [{**row, "b": 0.25} for row in ROWS]
    client = triton.InferenceServerClient(f"127.0.0.1:{one.port}")
    try:
        assert client.is_server_live()
        assert client.is_server_ready()
        assert client.is_model_ready("toy")
        assert client.is_model_ready("toy", "weak")
        assert client.get_server_metadata()["name"] == "rivals"
        metadata = client.get_model_metadata("toy")
        assert [one["name"] for one in metadata["inputs"]] == list(ROW)
        inputs = []
        for name, datatype, kind in (("a", "FP32", "float32"), ("b", "FP64", "float64"), ("color", "BYTES", object)):
            tensor = triton.InferInput(name, [len(rows)], datatype)
            tensor.set_data_from_numpy(np.array([row[name] for row in rows], dtype=kind), binary_data=binary)
            inputs.append(tensor)
        wanted = [triton.InferRequestedOutput(name, binary_data=binary) for name in ("probabilities", "label")]
        for outputs in (wanted, None):
            answer = client.infer("toy", inputs, outputs=outputs, request_id="r")
            assert np.abs(answer.as_numpy("probabilities") - in_process(one, one.weak, rows)).max() <= 1e-5
            assert answer.get_response()["id"] == "r"
        labels = client.infer("toy", inputs, outputs=wanted).as_numpy("label")
        assert labels.tolist() == in_process(one, one.weak, rows).argmax(axis=1).tolist()
        index = client.get_model_repository_index()
        assert {"name": "toy", "version": "weak", "state": "READY", "reason": ""} in index
        (told,) = client.get_inference_statistics("toy", "weak")["model_stats"]
        assert told["inference_stats"]["success"]["count"] == told["inference_count"] >= 3
        assert told["inference_stats"]["success"]["ns"] > 0
    finally:
        client.close()


def test_tritonclients_own_defaults_are_understood(one: Stage) -> None:
    client = triton.InferenceServerClient(f"127.0.0.1:{one.port}")
    try:
        inputs = []
        for name, datatype, values in (("a", "FP32", [0.5]), ("b", "FP64", [np.nan]), ("color", "BYTES", ["rot"])):
            tensor = triton.InferInput(name, [1, 1], datatype)
            kind = {"FP32": "float32", "FP64": "float64", "BYTES": object}[datatype]
            tensor.set_data_from_numpy(np.array([values], dtype=kind))
            inputs.append(tensor)
        answer = client.infer("toy", inputs)
        row = {"a": 0.5, "b": None, "color": "rot"}
        assert np.abs(answer.as_numpy("probabilities") - in_process(one, one.weak, [row])).max() <= 1e-5
        stranger = triton.InferInput("c", [1], "FP32")
        stranger.set_data_from_numpy(np.array([1.0], "float32"))
        with pytest.raises(triton.InferenceServerException, match="no column 'c'"):
            client.infer("toy", [*inputs, stranger])
    finally:
        client.close()


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
def test_compressed_bodies_are_read(one: Stage, encoding: str) -> None:
    plain = json.dumps(infer(ROW)).encode()
    body = gzip.compress(plain) if encoding == "gzip" else zlib.compress(plain)
    status, _, reply = one.ask("POST", "/v2/models/toy/infer", body, Content_Encoding=encoding)
    assert status == 200
    assert np.array_equal(reply["outputs"][0]["data"], in_process(one, one.weak, [ROW])[0])


@pytest.mark.parametrize(
    ("accepted", "packs"),
    [("gzip", True), ("br;q=1, GZIP;q=0.5", True), ("gzip;q=0", False), ("br", False), (None, False)],
)
def test_a_large_answer_is_packed_for_who_reads_that(one: Stage, accepted: str | None, packs: bool) -> None:
    headers = {"Accept_Encoding": accepted} if accepted else {}
    status, told, body = one.infer(*[ROW] * 2_000, **headers)
    assert (status, told.get("content-encoding")) == (200, "gzip" if packs else None)
    read = json.loads(gzip.decompress(body)) if packs else body
    assert read["outputs"][0]["shape"] == [2_000, 2]
    assert "content-encoding" not in one.infer(ROW, **headers)[1]


def test_kserve_v1_bodies_get_the_same_numbers(one: Stage) -> None:
    expected = in_process(one, one.weak, ROWS)
    for instances in (list(ROWS), [list(row.values()) for row in ROWS]):
        status, headers, reply = one.ask("POST", "/v1/models/toy:predict", {"instances": instances})
        assert (status, headers["x-rivals-variant"]) == (200, "weak")
        assert np.array_equal(np.array(reply["predictions"]), expected)
    assert one.ask("GET", "/v1/models")[2] == {"models": ["toy"]}
    assert one.ask("GET", "/v1/models/toy")[2] == {"name": "toy", "ready": True}
    for path, body, wanted in (
        ("/v1/models/nobody:predict", {"instances": [{}]}, 404),
        ("/v1/models/toy:predict", {"rows": []}, 400),
        ("/v1/models/toy:predict", {"instances": [[1]]}, 400),
        ("/v1/models/toy:explain", {"instances": [{}]}, 404),
    ):
        status, _, reply = one.ask("POST", path, body)
        assert (status, set(reply)) == (wanted, {"error"}), path


def test_pipelined_requests_are_answered_in_order(one: Stage) -> None:
    body = json.dumps(infer(ROW)).encode()
    sent = b"".join(
        b"POST /v2/models/toy/infer HTTP/1.1\r\nHost: a\r\nX-Request-Id: r%d\r\nContent-Length: %d\r\n\r\n%b"
        % (i, len(body), body)
        for i in range(40)
    )
    received = raw(one.port, sent + b"GET /ping HTTP/1.1\r\nHost: a\r\n\r\n")
    assert re.findall(rb"X-Request-Id: (\w+)\r\n", received) == [b"r%d" % i for i in range(40)]
    assert received.endswith(b"\r\n\r\n\n")


# -- whatever is sent -----------------------------------------------------------------------------------------

NAN = infer({**ROW, "a": float("nan")})
HOSTILE: list[tuple[str, str, bytes | dict[str, Any], dict[str, str], int]] = [
    ("POST", "/v2/models/toy/infer", b"", {}, 400),
    ("POST", "/v2/models/toy/infer", b"\xff\xfe\x00", {}, 400),
    ("POST", "/v2/models/toy/infer", b"[" * 100_000, {}, 400),
    ("POST", "/v2/models/toy/infer", {"inputs": []}, {}, 400),
    ("POST", "/v2/models/toy/infer", infer({**ROW, "zebra": 1.0}), {}, 400),
    ("POST", "/v2/models/toy/infer", infer({"a": 1.0}), {}, 400),
    ("POST", "/v2/models/toy/infer", infer({**ROW, "a": "text"}), {}, 400),
    ("POST", "/v2/models/toy/infer", infer({**ROW, "a": None}), {}, 400),
    ("POST", "/v2/models/toy/infer", infer({**ROW, "color": 5.0}), {}, 400),
    ("POST", "/v2/models/toy/infer", NAN, {}, 400),
    ("POST", "/v2/models/toy/infer", infer(ROW, id=7), {}, 400),
    ("POST", "/v2/models/toy/infer", infer(ROW, id="x" * 300), {}, 400),
    ("POST", "/v2/models/toy/infer", infer(ROW, outputs=[{"name": "nothing"}]), {}, 400),
    ("POST", "/v2/models/toy/infer", infer({**ROW, "user": 1}, {**ROW, "user": 2}), {}, 400),
    ("POST", "/v2/models/toy/infer", infer(ROW), {"X_Request_Id": "x" * 300}, 400),
    ("POST", "/v2/models/toy/infer", infer(ROW), {"X_Rivals_Deadline_Ms": "soon"}, 400),
    ("POST", "/v2/models/toy/infer", infer(ROW), {"X_Rivals_Deadline_Ms": "-1"}, 400),
    ("POST", "/v2/models/toy/infer", infer(ROW), {"X_Rivals_Variant": "nobody"}, 404),
    ("POST", "/v2/models/toy/infer", infer(ROW), {"Content_Type": "text/plain"}, 415),
    ("POST", "/v2/models/toy/infer", infer(ROW), {"Content_Encoding": "br"}, 415),
    ("POST", "/v2/models/toy/infer", infer(ROW), {"Content_Encoding": "gzip"}, 400),
    ("POST", "/v2/models/toy/infer", zlib.compress(b"x" * (16 << 20) + b"x"), {"Content_Encoding": "deflate"}, 413),
    ("POST", "/v2/models/toy/infer", zlib.compress(b"{}")[:-1], {"Content_Encoding": "deflate"}, 400),
    ("POST", "/v2/models/toy/infer", b"{}\0\0", {"Inference_Header_Content_Length": "2"}, 400),
    ("POST", "/v2/models/toy/infer", b"{}\0\0", {"Inference_Header_Content_Length": "5"}, 400),
    ("POST", "/v2/models/toy/infer", b"{}\0\0", {"Content_Type": "application/octet-stream"}, 415),
    ("GET", "/v2/repository/index", b"", {}, 405),
    ("POST", "/v2/repository/models/toy/unload", {}, {}, 404),
    ("POST", "/v2/models/toy/versions/nobody/infer", infer(ROW), {}, 404),
    ("POST", "/v2/models/nobody/infer", infer(ROW), {}, 404),
    ("POST", "/v2/models/../infer", infer(ROW), {}, 404),
    ("POST", "/infer", infer(ROW), {}, 404),
    ("POST", "/nowhere", {}, {}, 404),
    ("POST", "/v2/models/toy", {}, {}, 405),
    ("DELETE", "/v2/models/toy", {}, {}, 405),
    ("GET", "/v2/models/toy/infer", b"", {}, 405),
    ("PUT", "/v2/feedback", {}, {}, 405),
    ("GET", "/v2/models/nobody", b"", {}, 404),
    ("GET", "/v2/models", b"", {}, 404),
    ("GET", "/v2/models/toy/versions/nobody/ready", b"", {}, 404),
    ("GET", "/v2/models/toy/versions", b"", {}, 404),
    ("GET", "/", b"", {}, 404),
    ("POST", "/invocations", {"dataframe_records": []}, {}, 400),
    ("POST", "/invocations", {"dataframe_records": [{"a": 1}]}, {}, 400),
    ("POST", "/invocations", {"something": 1}, {}, 400),
    ("POST", "/invocations", b"a,b,color\n1,2", {"Content_Type": "text/csv"}, 400),
    ("POST", "/invocations", b"", {"Content_Type": "image/png"}, 415),
    ("POST", "/v2/feedback", {"label": 1}, {}, 400),
    ("POST", "/v2/feedback", {"id": "x/0", "label": "one"}, {}, 400),
    ("POST", "/v2/feedback", [{"id": "x/0", "label": 1}, {"id": "y/0"}], {}, 400),
    ("POST", "/v2/models/toy/infer", b"x" * (16 << 20) + b"x", {}, 413),
]


def test_whatever_is_sent_the_answer_is_a_sentence_and_nothing_is_recorded(one: Stage) -> None:
    for method, path, body, headers, wanted in HOSTILE:
        status, told, reply = one.ask(method, path, body, **headers)
        assert status == wanted, (path, str(body)[:80], headers, reply)
        assert isinstance(reply["error"], str)
        assert reply["error"].endswith((".", "?"))
        assert "Traceback" not in reply["error"]
        assert status != 405 or told["allow"]
    batches = entries.read(one.run_dir, {}, 10**6)
    assert [batch for batch in batches if batch.opens or batch.feedback] == []
    assert "failed" not in one.log.read_text()


def test_a_thousand_mutated_requests_never_break_it(one: Stage) -> None:
    """Seeded: bytes of a good request are changed, dropped and doubled; the answer is 200 or 4xx, and all is alive after."""
    rng = np.random.default_rng(7)
    body = json.dumps(infer(ROW)).encode()
    good = b"POST /v2/models/toy/infer HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)
    for _ in range(1_000):
        mutant = bytearray(good)
        for _ in range(rng.integers(1, 4)):
            at = int(rng.integers(len(mutant)))
            match rng.integers(3):
                case 0:
                    mutant[at] = int(rng.integers(256))
                case 1:
                    del mutant[at : at + int(rng.integers(1, 8))]
                case _:
                    mutant[at:at] = mutant[at : at + int(rng.integers(1, 8))]
        for status in re.findall(rb"HTTP/1.1 (\d+) ", raw(one.port, bytes(mutant))):
            assert status == b"200" or status[:1] == b"4", (status, bytes(mutant))
    assert one.infer()[0] == 200
    assert "failed" not in one.log.read_text()


def test_rows_and_ids_are_on_record_as_the_client_knows_them(one: Stage) -> None:
    status, headers, reply = one.infer(ROW, {**ROW, "a": 1.0}, X_Request_Id="mine é".encode().decode("latin-1"))
    assert status == 200
    assert headers["x-request-id"].encode("latin-1").decode() == reply["id"] == "mine é"
    _, headers, reply = one.ask("POST", "/v2/models/toy/infer", infer(ROW, id="in the body"))
    assert headers["x-request-id"] == reply["id"] == "in the body"
    _, headers, _ = one.infer()
    assert re.fullmatch("[0-9a-f]{32}", headers["x-request-id"])
    batches = entries.read(one.run_dir, {}, 10**6)
    assert [exposure.id for batch in batches for exposure in batch.opens][:3] == [
        "mine é/0",
        "mine é/1",
        "in the body/0",
    ]


def test_a_version_in_the_path_or_a_header_pins_it(stage: Make) -> None:
    made = stage()
    made.publish(table({"weak": (made.weak, 1.0), "strong": (made.strong, 0.0)}))
    made.start()
    assert made.infer(X_Rivals_Variant="strong")[1]["x-rivals-variant"] == "strong"
    path = "/v2/models/toy/versions/strong/infer"
    assert made.ask("POST", path, infer(ROW))[2]["model_version"] == "strong"
    assert made.infer()[1]["x-rivals-variant"] == "weak"


def test_a_deadline_that_cannot_be_met_is_a_504(one: Stage) -> None:
    status, headers, reply = one.infer(X_Rivals_Deadline_Ms="0.000001", X_Request_Id="hurried")
    assert (status, headers["x-request-id"]) == (504, "hurried")
    assert "within" in reply["error"]
    assert one.infer(X_Rivals_Deadline_Ms="5000")[0] == 200


def test_metrics_are_true_over_all_workers_and_restarts(stage: Make) -> None:
    made = stage()
    made.publish(table({"weak": (made.weak, 1.0)}, shadows={"strong": made.strong}))
    made.start([0, 1])
    for _ in range(30):
        assert made.infer()[0] == 200
    made.ask("POST", "/v2/feedback", [{"id": f"{n}/0", "label": 0} for n in range(5)])

    def counted() -> set[str]:
        return set(made.ask("GET", "/metrics")[2].decode().splitlines())

    made.says(lambda: 'rivals_shadow_total{endpoint="toy",variant="strong",outcome="ok"} 30' in counted())
    made.kill(0)
    made.start([0])
    wanted = {
        'rivals_requests_total{endpoint="toy",variant="weak",outcome="ok"} 30',
        'rivals_shadow_total{endpoint="toy",variant="strong",outcome="ok"} 30',
        'rivals_feedback_total{endpoint="toy"} 5',
        'rivals_variant_weight_ratio{endpoint="toy",variant="weak"} 1',
    }
    made.says(lambda: wanted <= counted())


# -- clocks, tokens -------------------------------------------------------------------------------------------


def test_a_replays_clock_is_the_newest_row(stage: Make) -> None:
    made = stage(clock="replay", time="t")
    made.publish(table({"weak": (made.weak, 1.0)}))
    made.start()
    assert made.infer()[0] == 400  # without a time the clock cannot go on
    for when in (100.0, 300.0, 200.0):
        assert made.infer({**ROW, "t": when})[0] == 200
    made.ask("POST", "/v2/feedback", [{"id": "x/0", "label": 1}, {"id": "y/0", "label": 1, "time": 250}])
    batches = entries.read(made.run_dir, {}, 10**6)
    assert [one.time for batch in batches for one in batch.opens] == [100.0, 300.0, 300.0]
    assert [one for batch in batches for one in batch.feedback] == [
        Feedback("x/0", 1, None, 300.0),
        Feedback("y/0", 1, None, 250.0),
    ]


def test_with_a_token_only_health_is_open(stage: Make) -> None:
    made = stage()
    made.publish(table({"weak": (made.weak, 1.0)}))
    made.start(env={"RIVALS_TOKEN": "s3cret"})
    for path in ("/v2/health/live", "/v2/health/ready", "/ping"):
        assert made.ask("GET", path)[0] == 200
    closed = [
        ("GET", "/v2"),
        ("GET", "/metrics"),
        ("GET", "/v2/models/toy"),
        ("POST", "/v2/feedback"),
        ("GET", "/nowhere"),
    ]
    for method, path in [*closed, ("POST", "/v2/models/toy/infer"), ("POST", "/invocations")]:
        for wrong in ({}, {"Authorization": "Bearer s3cre"}, {"Authorization": "s3cret"}):
            status, headers, reply = made.ask(method, path, {}, **wrong)
            assert (status, headers["www-authenticate"]) == (401, "Bearer")
            assert "s3cret" not in json.dumps(reply)
    assert made.infer(Authorization="Bearer s3cret")[0] == 200
    assert "s3cret" not in made.log.read_text()


def test_what_cannot_begin_says_so_in_a_sentence(tmp_path: Path) -> None:
    def said(config: dict[str, Any]) -> str:
        command = [sys.executable, "-m", "rivals.serve.server", json.dumps(config)]
        clean = {name: value for name, value in os.environ.items() if name != "RIVALS_TOKEN"}
        done = subprocess.run(command, capture_output=True, text=True, env=clean, timeout=20, check=False)
        assert done.returncode == 1
        assert "Traceback" not in done.stderr
        return done.stderr

    config = {"run_dir": str(tmp_path), "bundles": str(tmp_path), "slot": 0}
    assert "set RIVALS_TOKEN first" in said({**config, "host": "0.0.0.0"})
    assert "no endpoint.json" in said(config)
    assert "worker.failed" in said({})


def test_a_worker_imports_nothing_heavy() -> None:
    code = (
        "import sys, rivals.serve.server\n"
        "print([name for name in ('pandas', 'sklearn', 'mlflow', 'pydantic', 'sqlalchemy', 'scipy') if name in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


def test_a_stopped_worker_was_asked_to_by_a_signal_only(one: Stage) -> None:
    os.kill(one.workers[0].pid, signal.SIGINT)
    assert one.workers[0].wait(10) == 0
