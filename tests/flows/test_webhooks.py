"""Webhooks: signed, in order, at least once, and never in anybody's way."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest

from rivals.errors import RivalsError
from rivals.flows.control import Control
from rivals.flows.operators import freeze
from rivals.flows.rollout import steer
from rivals.flows.status import status_of
from rivals.flows.webhooks import Courier, check_secret, secret, signature
from rivals.registry.ledger import Ledger

from .conftest import Site

KEY = b"sesame, open thyself up, please!"


class Receiver:
    """A real server on loopback that remembers what came and answers as it is told."""

    def __init__(self, port: int = 0) -> None:
        self.came: list[tuple[dict[str, str], bytes]] = []
        self.answers: list[int] = []  # those to come; then 200
        self.gate = threading.Event()
        self.gate.set()
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                receiver.gate.wait(20)
                receiver.came.append(({key.lower(): value for key, value in self.headers.items()}, body))
                self.send_response(receiver.answers.pop(0) if receiver.answers else 200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                """Quiet."""

        self.server = HTTPServer(("127.0.0.1", port), Handler)
        self.port = self.server.server_port
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True)
        self.thread.start()

    def stop(self) -> None:
        self.gate.set()
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()

    def events(self) -> list[str]:
        return [json.loads(body)["type"] for _, body in self.came]


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    made = Receiver()
    yield made
    made.stop()


@pytest.fixture(autouse=True)
def key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RIVALS_WEBHOOK_SECRET", "whsec_" + base64.b64encode(KEY).decode())


def hooked(site: Callable[..., Site], port: int, events: str = "") -> tuple[Site, Courier]:
    one = site(f'  webhooks: [{{url: "http://127.0.0.1:{port}/hook?team=x"{events}}}]')
    courier = Courier(one.workspace, one.workspace.endpoint.webhooks[0], first=0.01, patience=0.3)
    courier.round()  # from here on
    return one, courier


def story(one: Site) -> None:
    one.start()
    steer(one.workspace, "pause", by="ann")
    steer(one.workspace, "resume", by="ann")
    steer(one.workspace, "rollback", by="ann")


STORY = ["rollout.started", "rollout.paused", "rollout.resumed", "rollout.rolled_back"]


def test_the_signature_is_the_one_of_the_standards_own_example() -> None:
    key = base64.b64decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    body = b'{"test": 2432232314}'
    said = signature(key, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, body)
    assert said == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_what_happens_is_told_in_order_and_signed(site: Callable[..., Site], receiver: Receiver) -> None:
    one, courier = hooked(site, receiver.port)
    story(one)
    courier.round()
    assert receiver.events() == STORY
    for headers, body in receiver.came:
        signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
        digest = base64.b64encode(hmac.digest(KEY, signed, hashlib.sha256)).decode()
        assert headers["webhook-signature"] == f"v1,{digest}"
        assert abs(int(headers["webhook-timestamp"]) - time.time()) < 60
    assert json.loads(receiver.came[1][1])["data"]["body"]["by"] == "ann"
    courier.round()
    assert len(receiver.came) == 4  # once taken, not sent again


def test_a_judged_promotion_is_told_as_one(site: Callable[..., Site], receiver: Receiver) -> None:
    one, courier = hooked(site, receiver.port)
    one.start()
    one.good()
    for _ in range(2):
        one.judge()
    courier.round()
    assert receiver.events() == ["rollout.started", "rollout.grown", "rollout.promoted", "rollout.watched"]


def test_only_what_was_asked_for_is_told(site: Callable[..., Site], receiver: Receiver) -> None:
    one, courier = hooked(site, receiver.port, ", events: [rollout.rolled_back, fences]")
    story(one)
    freeze(one.workspace, by="ann")
    courier.round()
    assert receiver.events() == ["rollout.rolled_back", "fences"]


def test_an_answer_of_500_is_tried_again_before_anything_later(site: Callable[..., Site], receiver: Receiver) -> None:
    one, courier = hooked(site, receiver.port)
    receiver.answers = [500, 302, 500]
    story(one)
    waits = [courier.round() for _ in range(4)]
    assert waits[:3] == [0.01, 0.02, 0.04]
    assert receiver.events() == [STORY[0]] * 4 + STORY[1:]
    assert len({headers["webhook-id"] for headers, _ in receiver.came[:4]}) == 1  # one message, however often


def test_a_server_that_is_down_gets_everything_when_it_is_back(site: Callable[..., Site]) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    one, courier = hooked(site, port)
    story(one)
    for _ in range(3):
        courier.round()
    (told,) = status_of(one.workspace)["webhooks"]
    assert (told["url"], told["tries"]) == (f"http://127.0.0.1:{port}/hook", 3)
    assert "Refused" in told["problem"]
    back = Receiver(port)
    try:
        Courier(one.again().workspace, courier.hook).round()  # another process: the outbox is in the store
        assert back.events() == STORY
    finally:
        back.stop()


def test_a_slow_server_is_given_up_on_and_asked_again(site: Callable[..., Site], receiver: Receiver) -> None:
    one, courier = hooked(site, receiver.port)
    receiver.gate.clear()
    story(one)
    courier.round()
    (told,) = status_of(one.workspace)["webhooks"]
    assert "timed out" in told["problem"].lower()
    receiver.gate.set()
    courier.patience = 10.0
    courier.round()
    assert [event for event in receiver.events() if event in STORY][-4:] == STORY


def test_a_stuck_server_holds_up_no_judging(site: Callable[..., Site], receiver: Receiver) -> None:
    one, _ = hooked(site, receiver.port)
    receiver.gate.clear()
    one.start()
    loop = Control(one.workspace, "replay")
    thread = threading.Thread(target=loop.run)
    thread.start()
    try:
        one.bad()
        deadline = time.monotonic() + 20
        while one.workspace.store.active_rollout("toy") and time.monotonic() < deadline:
            time.sleep(0.02)
        assert one.workspace.store.active_rollout("toy") is None  # rolled back while the webhook hangs
    finally:
        loop.stopped.set()
        receiver.gate.set()
        thread.join(30)
    assert not thread.is_alive()


def test_without_a_secret_nothing_is_sent_and_serving_says_so(
    site: Callable[..., Site], receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, courier = hooked(site, receiver.port)
    monkeypatch.delenv("RIVALS_WEBHOOK_SECRET")
    story(one)
    with pytest.raises(RivalsError, match="set RIVALS_WEBHOOK_SECRET"):
        check_secret(one.workspace)
    with pytest.raises(RivalsError, match="set RIVALS_WEBHOOK_SECRET"):
        courier.round()
    monkeypatch.setenv("RIVALS_WEBHOOK_SECRET", "whsec_???")
    with pytest.raises(RivalsError, match="not base64"):
        secret()
    monkeypatch.setenv("RIVALS_WEBHOOK_SECRET", "plain words")
    courier.round()
    assert receiver.events() == STORY
    assert len(Ledger(one.workspace.store).entries("toy")) == 5
