"""What is acknowledged is on disk; what is open when a process dies is lost by name; shipping twice changes nothing."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rivals.errors import RequestError
from rivals.serve.entries import Closed, Opened, folder, forget, read
from rivals.serve.journal import FeedbackLog, Journal, bury
from rivals.serve.logfile import DamagedError, LogFile, frames
from rivals.values import Exposure, Feedback, Outcome


def opened(name: str, variant: str = "a", rows: int = 1, **more: Any) -> Opened:
    values = {"shadow": False, "revision": 3, "time": 1.5, "unit": "u", "propensity": {"a": 0.75, "b": 0.25}}
    return Opened(name, rows, variant, *{**values, **more}.values())


def closed(name: str, variant: str = "a", rows: int = 1, outcome: Outcome = Outcome.OK) -> Closed:
    return Closed(name, rows, variant, outcome, 70, [[0.25, 0.75]] * rows if outcome is Outcome.OK else ())


@contextmanager
def full(file: LogFile) -> Iterator[None]:
    """A disk without room."""
    before, file._file = file._file, os.open("/dev/full", os.O_WRONLY)
    yield
    os.close(file._file)
    file._file = before


def everything(run_dir: Path, limit: int = 10_000) -> tuple[list[Exposure], list[Any], list[Feedback]]:
    """All that a shipper would get, round after round."""
    cursors: dict[str, int] = {}
    opens, closes, feedback = [], [], []
    while batches := read(run_dir, cursors, limit):
        for batch in batches:
            assert batch.seq > cursors.get(batch.file, 0)
            cursors[batch.file] = batch.seq
            opens += batch.opens
            closes += batch.closes
            feedback += batch.feedback
    return opens, closes, feedback


def test_every_row_is_an_exposure_of_its_own(tmp_path: Path) -> None:
    journal = Journal(tmp_path, 0, "toy")
    assert journal.commit([opened("r", rows=2)], [])
    assert journal.commit([], [closed("r", rows=2)])
    opens, closes, _ = everything(tmp_path)
    propensity = {"a": 0.75, "b": 0.25}
    assert opens == [Exposure(f"r/{row}", "a", False, "toy", 3, 1.5, "u", propensity) for row in range(2)]
    assert closes == [(f"r/{row}", "a", Outcome.OK, 70, (0.25, 0.75)) for row in range(2)]
    journal.close()


def test_a_failure_has_no_output(tmp_path: Path) -> None:
    journal = Journal(tmp_path, 0, "toy")
    journal.commit([opened("r")], [closed("r", outcome=Outcome.ERROR)])
    assert everything(tmp_path)[1] == [("r/0", "a", Outcome.ERROR, 70, ())]
    journal.close()


@settings(max_examples=15, deadline=None)
@given(st.lists(st.integers(1, 4), min_size=1, max_size=25), st.integers(1, 7), st.integers(1, 9))
def test_whatever_the_files_and_the_limits_all_is_read_once_and_opens_come_first(
    tmp_path_factory: pytest.TempPathFactory, turns: list[int], rotate: int, limit: int
) -> None:
    run_dir = tmp_path_factory.mktemp("run")
    journal = Journal(run_dir, 0, "toy", rotate=rotate)
    names = []
    for turn, size in enumerate(turns):
        now = [f"{turn}-{number}" for number in range(size)]
        journal.commit([opened(name) for name in now], [closed(name) for name in names[-2:]])
        names += now
    journal.close()
    cursors: dict[str, int] = {}
    seen: set[str] = set()
    ended: list[str] = []
    while batches := read(run_dir, cursors, limit):
        for batch in batches:
            cursors[batch.file] = batch.seq
            seen |= {one.id for one in batch.opens}
            assert {end[0] for end in batch.closes} <= seen
            ended += [end[0] for end in batch.closes]
    assert seen == {f"{name}/0" for name in names}
    forget(run_dir, cursors)
    assert len(list(folder(run_dir).glob("*.log"))) == 1  # the newest one, which is written to


def test_only_what_is_shipped_is_forgotten(tmp_path: Path) -> None:
    journal = Journal(tmp_path, 0, "toy", rotate=2)
    for number in range(5):
        journal.commit([opened(f"r{number}")], [closed(f"r{number}")])
    first, *_ = read(tmp_path, {}, 10_000)
    part, *_ = read(tmp_path, {}, 1)
    forget(tmp_path, {part.file: part.seq})
    assert (folder(tmp_path) / first.file).exists()
    forget(tmp_path, {first.file: first.seq})
    assert not (folder(tmp_path) / first.file).exists()
    assert {one.id for one in everything(tmp_path)[0]} == {"r2/0", "r3/0", "r4/0"}
    journal.close()


def test_what_was_open_when_its_process_ended_is_lost(tmp_path: Path) -> None:
    before = Journal(tmp_path, 0, "toy", rotate=2)
    before.commit([opened("early")], [])
    for number in range(4):  # several files later
        before.commit([opened(f"r{number}", rows=2)], [closed(f"r{number - 1}", rows=2)] if number else [])
    before.close()
    Journal(tmp_path, 0, "toy").close()
    lost = [(end[0], end[2]) for end in everything(tmp_path)[1] if end[2] is not Outcome.OK]
    assert sorted(lost) == [("early/0", Outcome.LOST), ("r3/0", Outcome.LOST), ("r3/1", Outcome.LOST)]
    Journal(tmp_path, 0, "toy").close()
    again = [end for end in everything(tmp_path)[1] if end[2] is Outcome.LOST]
    assert len(again) == 3  # lost once, not at every start


def test_a_slot_that_nobody_holds_any_more_is_closed_too(tmp_path: Path) -> None:
    for slot in (0, 3):
        before = Journal(tmp_path, slot, "toy")
        before.commit([opened(f"r{slot}")], [])
        before.close()
    bury(tmp_path, {0, 1})
    assert [end[0] for end in everything(tmp_path)[1]] == ["r3/0"]


CRASH = """
import os
import sys
from pathlib import Path
from rivals.serve.entries import Opened
from rivals.serve.journal import FeedbackLog, Journal
from rivals.values import Feedback
run_dir = Path(sys.argv[1])
journal, feedback = Journal(run_dir, 0, "toy"), FeedbackLog(run_dir, 0)
number = 0
while True:
    journal.commit([Opened(f"r{number}", 1, "a", False, 1, 1.0, "u", {"a": 1.0})], [])
    os.write(1, f"e r{number}/0\n".encode())
    feedback.put([Feedback(f"r{number}/0", label=1)], lambda error, n=number: os.write(1, f"f r{n}/0\n".encode()))
    number += 1
"""


def test_kill_9_loses_nothing_that_was_acknowledged(tmp_path: Path) -> None:
    child = subprocess.Popen([sys.executable, "-c", CRASH, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    told: dict[str, list[str]] = {"e": [], "f": []}
    with child:
        assert child.stdout
        for line in child.stdout:
            if line.endswith("\n"):  # the last one may be torn
                kind, name = line.split()
                told[kind].append(name)
            if len(told["f"]) == 200:
                os.kill(child.pid, signal.SIGKILL)
    opens, _, feedback = everything(tmp_path)
    assert set(told["e"]) <= {one.id for one in opens}
    assert set(told["f"]) <= {one.id for one in feedback}
    assert len({one.id for one in feedback}) == len(feedback)
    Journal(tmp_path, 0, "toy").close()
    assert {end[0] for end in everything(tmp_path)[1] if end[2] is Outcome.LOST} == {one.id for one in opens}


def test_two_processes_never_hold_one_slot(tmp_path: Path) -> None:
    first = Journal(tmp_path, 0, "toy")
    held: list[Journal] = []
    second = threading.Thread(target=lambda: held.append(Journal(tmp_path, 0, "toy")))
    second.start()
    second.join(0.2)
    assert not held
    first.close()
    second.join(5)
    held[0].close()


def test_a_disk_that_refuses_is_told_and_what_it_refused_is_written_later(tmp_path: Path) -> None:
    journal = Journal(tmp_path, 0, "toy")
    with full(journal._log._file):
        assert not journal.commit([opened("r1")], [])
        assert not journal.commit([opened("r2")], [closed("r1")])
    assert journal.commit([], [closed("r2")])
    opens, closes, _ = everything(tmp_path)
    assert [one.id for one in opens] == ["r1/0", "r2/0"]
    assert [end[0] for end in closes] == ["r1/0", "r2/0"]
    journal.close()


def test_feedback_that_cannot_be_kept_is_not_acknowledged(tmp_path: Path) -> None:
    log = FeedbackLog(tmp_path, 0)
    answers: list[RequestError | None] = []
    done = threading.Semaphore(0)

    def put(name: str) -> None:
        log.put([Feedback(name, label=1)], lambda error: (answers.append(error), done.release()))
        assert done.acquire(timeout=5)

    put("kept/0")
    with full(log._log._file):
        put("refused/0")
    put("again/0")
    log.close()
    assert [error and error.status for error in answers] == [None, 503, None]
    assert [one.id for one in everything(tmp_path)[2]] == ["kept/0", "again/0"]


def test_feedback_is_synced_before_it_is_acknowledged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told, sync = list[str](), os.fdatasync
    monkeypatch.setattr(os, "fdatasync", lambda file: (sync(file), told.append("synced")))
    log = FeedbackLog(tmp_path, 0)
    log.put([Feedback("r/0", label=1)], lambda error: told.append(f"told {error}"))
    log.close()
    assert told == ["synced", "told None"]


def test_a_damaged_file_is_set_aside_and_holds_up_nobody(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for slot in (0, 1):
        journal = Journal(tmp_path, slot, "toy")
        journal.commit([opened(f"r{slot}")], [])
        journal.close()
    damaged = next(folder(tmp_path).glob("0-*.log"))
    damaged.write_bytes(b"this is no journal" * 100)
    assert [one.id for one in everything(tmp_path)[0]] == ["r1/0"]
    assert damaged.with_suffix(".damaged").exists()
    assert "journal.damaged" in caplog.text
    Journal(tmp_path, 0, "toy").close()


def test_a_file_begun_by_a_process_that_died_at_once_is_no_obstacle(tmp_path: Path) -> None:
    (folder(tmp_path) / "0-exposures-00000001-abcd.log").touch()
    journal = Journal(tmp_path, 0, "toy")
    journal.commit([opened("r")], [])
    forget(tmp_path, {})
    assert [one.id for one in everything(tmp_path)[0]] == ["r/0"]
    journal.close()


def test_nobody_else_may_look(tmp_path: Path) -> None:
    Journal(tmp_path / "run", 0, "toy").close()
    assert folder(tmp_path / "run").stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("left", [b"", b"\x07\x00", b"\x07\0\0\0\xf8\xff\xff\xff\1\2\3\4half"])
def test_a_process_that_dies_while_it_starts_hides_nothing(tmp_path: Path, left: bytes) -> None:
    journal = Journal(tmp_path, 0, "toy")
    journal.commit([opened("asked")], [])
    journal.close()
    for kind in ("exposures", "feedback"):
        path = folder(tmp_path) / f"0-{kind}-00000002-abcd.log"
        path.write_bytes(left)
    again, feedback = Journal(tmp_path, 0, "toy"), FeedbackLog(tmp_path, 0)
    done = threading.Event()
    feedback.put([Feedback("asked/0", 1)], lambda _: done.set())
    assert done.wait(10)
    _, closes, told = everything(tmp_path)
    assert [(close[0], close[2]) for close in closes] == [("asked/0", Outcome.LOST)]
    assert told == [Feedback("asked/0", 1)]
    again.close()
    feedback.close()


def test_slices_travel_by_row(tmp_path: Path) -> None:
    journal = Journal(tmp_path, 0, "e")
    journal.commit([Opened("r", 2, "a", False, 1, 1.0, "u", {"a": 1.0}, slices=[("c=x",), ("c=y",)])], [])
    journal.commit([Opened("s", 1, "a", False, 1, 1.0, "u", {"a": 1.0})], [])
    assert [one.slices for batch in read(tmp_path, {}, 10) for one in batch.opens] == [("c=x",), ("c=y",), ()]
    journal.close()


@settings(max_examples=50, deadline=None)
@given(st.lists(st.binary(min_size=1, max_size=40), min_size=1, max_size=12), st.data())
def test_a_file_that_ends_anywhere_holds_what_was_whole(
    tmp_path_factory: pytest.TempPathFactory, payloads: list[bytes], data: st.DataObject
) -> None:
    path = tmp_path_factory.mktemp("log") / "one.log"
    file = LogFile(path)
    for one in payloads:
        file.append([one])
    file.close()
    told = list(frames(path))
    assert [payload for _, payload in told] == payloads
    end = data.draw(st.integers(0, path.stat().st_size))
    os.truncate(path, end)
    assert list(frames(path)) == [(cursor, payload) for cursor, payload in told if cursor <= end]
    for cursor, _ in told:
        if cursor <= end:
            assert [payload for _, payload in frames(path, cursor)] == [
                one for place, one in told if cursor < place <= end
            ]


def test_what_nobody_wrote_is_noticed_and_what_stands_before_it_is_read(tmp_path: Path) -> None:
    journal = Journal(tmp_path, 0, "toy")
    for number in range(3):
        journal.commit([opened(f"r{number}")], [])
    journal.close()
    path = next(folder(tmp_path).glob("0-*.log"))
    raw = bytearray(path.read_bytes())
    raw[len(raw) // 2] ^= 1  # in the second of three
    path.write_bytes(raw)
    with pytest.raises(DamagedError, match="damaged after"):
        list(frames(path))
    forget(tmp_path, {})
    assert [one.id for one in everything(tmp_path)[0]] == ["r0/0"]
    assert path.with_suffix(".damaged").exists()
