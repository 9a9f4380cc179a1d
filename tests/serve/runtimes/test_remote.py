"""A model behind another server: asked by its own metadata, refused by a sentence, given up in time."""

from __future__ import annotations

import http.server
import json
import pickle
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from rivals.bundles import MANIFEST, PROBE, REMOTE, Address, BundleManifest, Probe, folder_digest
from rivals.errors import BundleError
from rivals.remote import Remote, Unreachable
from rivals.serve.runtimes import open_bundle
from rivals.serve.runtimes.remote import RemotePredictor
from rivals.values import Column, Columns, Signature
from tests.serve.stage import ROW, SIGNATURE, Stage, table

ROWS = Columns({"a": [0.5, -1.0], "b": [None, 2.0], "color": ["red", "green"]}, 2)
NUMBERS = Signature((Column("x", "number", nullable=True), Column("y", "number")), "binary", ("no", "yes"))
PAIR = Columns({"x": [1.0, None], "y": [3.0, 4.0]}, 2)


@pytest.fixture
def stub() -> Iterator[Callable[..., str]]:
    """A server that answers as told; its address."""
    running: list[http.server.HTTPServer] = []

    def start(metadata: Any, answer: Any, status: int = 200, asked: list[Any] | None = None) -> str:
        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def _send(self, status: int, told: Any) -> None:
                raw = told if isinstance(told, bytes) else json.dumps(told).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(raw)))
                self.end_headers()
                self.wfile.write(raw)

            def do_GET(self) -> None:
                self._send(200, metadata)

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                if asked is not None:
                    asked.append(body)
                self._send(status, answer)

            def log_message(self, *_: Any) -> None:
                """Quiet."""

        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        server.daemon_threads = True
        running.append(server)
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        return f"oip+http://127.0.0.1:{server.server_address[1]}/m"

    yield start
    for server in running:
        server.shutdown()
        server.server_close()


def test_another_rivals_answers_as_its_bundle_does(stage: Callable[..., Stage], tmp_path: Path) -> None:
    other = stage()
    other.publish(table({"weak": (other.weak, 1.0)}))
    other.start()
    url = f"oip+http://127.0.0.1:{other.port}/toy"
    wanted = open_bundle(other.bundles / other.weak, other.bundles.joinpath).predict(ROWS)
    remote = Remote(url, SIGNATURE)
    np.testing.assert_array_equal(remote.predict(ROWS), wanted)
    with closing(pickle.loads(pickle.dumps(remote))) as travelled:
        np.testing.assert_array_equal(travelled.predict(ROWS), wanted)
    folder = standing_for(tmp_path, url, wanted.tolist())
    with closing(open_bundle(folder, tmp_path.joinpath)) as opened:  # type: ignore[type-var]
        assert isinstance(opened, RemotePredictor)

    ours = stage()  # behind ours it is an arm that is away
    (ours.bundles / folder.name).symlink_to(folder)
    ours.publish(table({"weak": (ours.strong, 0.5), "remote": (folder.name, 0.5)}))
    ours.start()
    status, told, body = ours.infer(X_Rivals_Variant="remote")
    assert (status, told["x-rivals-variant"]) == (200, "remote")
    one = Columns({name: [value] for name, value in ROW.items()}, 1)
    assert body["outputs"][0]["data"] == pytest.approx(remote.predict(one)[0].tolist(), abs=1e-12)
    remote.close()
    other.stop()
    status, told, _ = ours.infer(X_Rivals_Variant="remote")
    assert (status, told["x-rivals-variant"], told["x-rivals-degraded"]) == (200, "weak", "true")


def standing_for(folder: Path, url: str, outputs: list[list[float]]) -> Path:
    made = folder / "made"
    made.mkdir()
    (made / MANIFEST).write_bytes(msgspec.json.encode(BundleManifest(SIGNATURE, "remote")))
    (made / REMOTE).write_bytes(msgspec.json.encode(Address(url)))
    (made / PROBE).write_bytes(msgspec.json.encode(Probe(ROWS.values, outputs)))
    return made.rename(folder / folder_digest(made))


def test_a_model_that_changed_behind_its_address_fails_its_probe(stub: Callable[..., str], tmp_path: Path) -> None:
    meta = {"inputs": [{"name": name} for name in ("a", "b", "color")]}
    url = stub(meta, {"outputs": [{"datatype": "FP64", "data": [0.5, 0.5, 0.5, 0.5]}]})
    folder = standing_for(tmp_path, url, [[0.1, 0.9], [0.2, 0.8]])
    with closing(RemotePredictor(url, SIGNATURE)) as opened:
        assert opened.predict(ROWS).tolist() == [[0.5, 0.5]] * 2
    with pytest.raises(BundleError, match="answers its probe"):
        open_bundle(folder, tmp_path.joinpath)


@pytest.mark.parametrize("answer", [[0.25, 0.75, 0.5, 0.5], [0.75, 0.5], [[0.25, 0.75], [0.5, 0.5]]])
def test_a_server_that_takes_one_matrix_gets_the_numbers_in_our_order(stub: Callable[..., str], answer: Any) -> None:
    asked: list[Any] = []
    outputs = [{"datatype": "BYTES", "data": ["yes", "no"]}, {"datatype": "FP32", "data": answer}]
    with closing(Remote(stub({"inputs": [{"name": "predict"}]}, {"outputs": outputs}, asked=asked), NUMBERS)) as remote:
        assert remote.predict(PAIR).tolist() == [[0.25, 0.75], [0.5, 0.5]]
    assert asked[0]["inputs"] == [
        {"name": "predict", "shape": [2, 2], "datatype": "FP32", "data": [1.0, 3.0, None, 4.0]}
    ]


@pytest.mark.parametrize(
    ("metadata", "answer", "status", "sentence"),
    [
        ({"inputs": []}, {"outputs": [{"datatype": "BYTES", "data": ["yes", "no"]}]}, 200, "no tensor of floats"),
        ({"inputs": []}, {"outputs": [{"datatype": "FP32", "data": [1.0]}]}, 200, "1 numbers for 2 rows of 2"),
        ({"inputs": []}, {"error": "no such model"}, 404, "answers 404: no such model"),
        ({"inputs": []}, b"<html>", 200, "answers 200: <html>"),
        ({"inputs": [{"name": "p"}, {"name": "q"}]}, {}, 200, "takes p, q; the data has other columns"),
    ],
)
def test_a_server_that_cannot_stand_for_a_variant_is_refused(
    stub: Callable[..., str], metadata: Any, answer: Any, status: int, sentence: str
) -> None:
    with closing(Remote(stub(metadata, answer, status), NUMBERS)) as remote, pytest.raises(BundleError, match=sentence):
        remote.predict(PAIR)


def test_nobody_there_is_told_once_for_all_who_ask() -> None:
    with pytest.raises(BundleError, match="no address of a model"):
        Remote("http://127.0.0.1/m", NUMBERS)
    gone = RemotePredictor("oip+http://127.0.0.1:9/m", NUMBERS)
    with pytest.raises(Unreachable, match="cannot be reached"):
        gone.predict(PAIR)
    assert ["cannot be reached" in one.reason for one in gone.tell([PAIR, PAIR, PAIR])] == [True] * 3


def test_a_server_that_wants_a_token_is_shown_it(stage: Callable[..., Stage]) -> None:
    other = stage()
    other.publish(table({"weak": (other.weak, 1.0)}))
    other.start(env={"RIVALS_TOKEN": "word"})
    url = f"oip+http://127.0.0.1:{other.port}/toy"
    with closing(Remote(url, SIGNATURE, token="word")) as known:
        assert known.predict(ROWS).shape == (2, 2)
    with closing(Remote(url, SIGNATURE)) as unknown, pytest.raises(BundleError, match="answers 401"):
        unknown.predict(ROWS)
