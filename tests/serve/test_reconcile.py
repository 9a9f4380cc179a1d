"""Load first, swap second: a worker answers from what is whole, and says what is not."""

from __future__ import annotations

import asyncio
import math
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from rivals.errors import RivalsError
from rivals.serve import reconcile
from rivals.serve.question import Serving
from rivals.serve.reconcile import (
    EndpointConfig,
    Lease,
    Reconciler,
    publish_endpoint,
    publish_lease,
    publish_table,
    read_endpoint,
    read_table,
)
from rivals.serve.runtimes.remote import RemotePredictor
from rivals.values import Arm, Column, Columns, Signature, Use

from .stage import ROW, SIGNATURE, Stage, bundle, table

CONFIG = EndpointConfig("toy", "binary", unit="user", time="t", extra=("note",))


@pytest.fixture
def digests(tmp_path: Path) -> tuple[str, str]:
    return bundle(tmp_path / "bundles", 0.0), bundle(tmp_path / "bundles", 1.0)


@pytest.fixture
def reconciler(tmp_path: Path) -> Reconciler:
    return Reconciler(tmp_path, tmp_path / "bundles", CONFIG)


def look(reconciler: Reconciler) -> Serving | None:
    return asyncio.run(reconciler.look())


def test_files_are_read_as_they_were_written(tmp_path: Path, digests: tuple[str, str]) -> None:
    assert read_table(tmp_path) is None
    assert read_endpoint(tmp_path) is None
    some = table({"a": (digests[0], 0.9), "b": (digests[1], 0.1)}, shadows={"b": digests[1]}, policy=Use("split"))
    publish_table(tmp_path, some)
    publish_endpoint(tmp_path, CONFIG)
    assert read_table(tmp_path) == some
    assert read_endpoint(tmp_path) == CONFIG
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] != []
    assert all(path.stat().st_mode & 0o077 == 0 for path in tmp_path.glob("*.json"))


def test_a_reader_sees_the_old_file_or_the_new_one(tmp_path: Path) -> None:
    tables = [table({"a": ("d" * 64, 1.0)}, revision=revision) for revision in (1, 2)]
    publish_table(tmp_path, tables[0])
    stop = threading.Event()

    def write() -> None:
        while not stop.is_set():
            for one in tables:
                publish_table(tmp_path, one)

    writer = threading.Thread(target=write)
    writer.start()
    seen = {read_table(tmp_path).revision for _ in range(300)}  # type: ignore[union-attr]
    stop.set()
    writer.join()
    assert seen <= {1, 2}
    assert not list(tmp_path.glob(".table*"))


def test_damaged_files_are_said_to_be(tmp_path: Path) -> None:
    (tmp_path / "table.json").write_bytes(b"{")
    with pytest.raises(RivalsError, match=r"table\.json cannot be read"):
        read_table(tmp_path)


def test_a_table_is_loaded_once_and_the_next_one_reuses_what_is_open(
    tmp_path: Path, reconciler: Reconciler, digests: tuple[str, str]
) -> None:
    assert look(reconciler) is None
    publish_table(tmp_path, table({"a": (digests[0], 1.0)}))
    first = look(reconciler)
    assert first is not None
    assert look(reconciler) is None
    publish_table(tmp_path, table({"a": (digests[0], 0.9), "b": (digests[1], 0.1)}, revision=2))
    second = look(reconciler)
    assert second is not None
    assert second.predictors["a"] is first.predictors["a"]
    assert set(second.predictors) == {"a", "b"}
    assert reconciler.problem == ""


def test_requests_bring_the_inputs_and_may_bring_the_other_columns(
    tmp_path: Path, reconciler: Reconciler, digests: tuple[str, str]
) -> None:
    publish_table(tmp_path, table({"a": (digests[0], 1.0)}))
    serving = look(reconciler)
    assert serving is not None
    assert serving.inputs.columns == SIGNATURE.inputs
    assert serving.inputs.beside == {"t", "user", "note"}
    given = {**{name: [value] for name, value in ROW.items()}, "t": [5], "user": ["u"], "note": ["n"]}
    assert serving.inputs.check(given) == Columns(given, 1)


def test_promised_columns_are_asked_for_though_nobody_needs_them_yet(tmp_path: Path, digests: tuple[str, str]) -> None:
    config = replace(CONFIG, columns=(Column("more", "text"),))
    publish_table(tmp_path, table({"a": (digests[0], 1.0)}))
    serving = look(Reconciler(tmp_path, tmp_path / "bundles", config))
    assert serving is not None
    assert serving.inputs.columns == (*SIGNATURE.inputs, Column("more", "text"))


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"endpoint": "other"}, "is for 'other', not for 'toy'"),
        ({"champion": "nobody"}, "'nobody' is no arm"),
        ({"slots": b"\0" * 9}, "9 slots"),
        ({"slots": b"\7" * 10_000}, "slots for 1 arms"),
        ({"policy": Use("splt")}, "Did you mean 'split'"),
    ],
)
def test_a_table_that_cannot_be_obeyed_keeps_the_old_one_and_says_why(
    tmp_path: Path, reconciler: Reconciler, digests: tuple[str, str], change: dict[str, object], sentence: str
) -> None:
    good = table({"a": (digests[0], 1.0)})
    publish_table(tmp_path, good)
    assert look(reconciler)
    publish_table(tmp_path, replace(good, revision=2, **change))
    assert look(reconciler) is None
    assert sentence in reconciler.problem
    publish_table(tmp_path, replace(good, revision=3))
    assert look(reconciler)
    assert reconciler.problem == ""


@pytest.mark.parametrize("digest", ["f" * 64, "../../etc", "spoilt"])
def test_a_broken_challenger_never_replaces_what_works(
    tmp_path: Path, reconciler: Reconciler, digests: tuple[str, str], digest: str, caplog: pytest.LogCaptureFixture
) -> None:
    digest = bundle(tmp_path / "bundles", 2.0, spoilt=True) if digest == "spoilt" else digest
    publish_table(tmp_path, table({"a": (digests[0], 1.0)}))
    assert look(reconciler)
    publish_table(tmp_path, table({"a": (digests[0], 0.5), "b": (digest, 0.5)}, revision=2))
    assert look(reconciler) is None
    assert reconciler.problem
    assert str(tmp_path) not in reconciler.problem
    assert "table.refused endpoint=toy" in caplog.text


def test_a_worker_that_starts_into_a_broken_table_answers_by_the_champion(
    tmp_path: Path, reconciler: Reconciler, digests: tuple[str, str]
) -> None:
    publish_table(tmp_path, table({"a": (digests[0], 0.5), "b": ("f" * 64, 0.5)}, revision=2))
    serving = look(reconciler)
    assert serving is not None
    assert [arm.variant for arm in serving.table.arms] == ["a"]
    assert reconciler.problem


def test_what_could_not_be_loaded_is_tried_again(
    tmp_path: Path, reconciler: Reconciler, digests: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reconcile, "RETRY", 0.0)
    moved = tmp_path / "elsewhere"
    (tmp_path / "bundles" / digests[0]).rename(moved)
    publish_table(tmp_path, table({"a": (digests[0], 1.0)}))
    assert look(reconciler) is None
    moved.rename(tmp_path / "bundles" / digests[0])
    assert look(reconciler) is not None


def placed(folder: Path, digests: tuple[str, str], url: str) -> Reconciler:
    """Of a champion here and of ``b``, which is answered at ``url``."""
    publish_table(folder, table({"a": (digests[0], 0.5), "b": (digests[1], 0.5)}))
    return Reconciler(folder, folder / "bundles", CONFIG, {"b": url})


def test_a_variant_that_another_server_answers_is_asked_there_for_its_own_bundle_only(
    tmp_path: Path, digests: tuple[str, str], stage: Callable[..., Stage]
) -> None:
    there = stage()
    there.publish(table({digests[1][:12]: (there.strong, 1.0)}))  # the same bundle as ours
    there.start()
    assert there.strong == digests[1]
    url = f"http://127.0.0.1:{there.port}/toy"
    reconciler = placed(tmp_path, digests, url)
    serving = look(reconciler)
    assert serving is not None
    assert isinstance(serving.predictors["b"], RemotePredictor)
    assert serving.away == {"b"}
    publish_table(tmp_path, table({"a": (digests[0], 1.0)}, revision=2, shadows={"b": digests[1]}))
    shadowed = look(reconciler)
    assert shadowed is not None
    assert shadowed.asides["b"] is serving.predictors["b"]  # in the shadow too, without being asked again
    there.publish(table({digests[1][:12]: (there.weak, 1.0)}, revision=2))
    there.says(lambda: "revision=2" in there.log.read_text())
    publish_table(tmp_path, table({"a": (digests[0], 1.0)}, revision=3))
    assert look(reconciler)
    publish_table(tmp_path, table({"a": (digests[0], 0.5), "b": (digests[1], 0.5)}, revision=4))
    assert look(reconciler) is None  # the old table goes on
    assert f"'b' at {url} answers its probe" in reconciler.problem
    assert f"Serve bundle {digests[1][:12]} there." in reconciler.problem


@pytest.mark.parametrize("path", ["/toy", "/other"])
def test_a_place_where_another_bundle_or_model_lives_leaves_the_champion_alone(
    tmp_path: Path, digests: tuple[str, str], stage: Callable[..., Stage], path: str
) -> None:
    there = stage()
    there.publish(table({"f" * 12: (there.weak, 1.0)}))
    there.start()
    reconciler = placed(tmp_path, digests, f"http://127.0.0.1:{there.port}{path}")
    serving = look(reconciler)
    assert serving is not None
    assert set(serving.predictors) == {"a"}
    assert "answers 404" in reconciler.problem


def test_a_place_where_nobody_lives_is_tried_again(
    tmp_path: Path, digests: tuple[str, str], stage: Callable[..., Stage], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reconcile, "RETRY", 0.0)
    there = stage()
    there.publish(table({digests[1][:12]: (there.strong, 1.0)}))
    reconciler = placed(tmp_path, digests, f"http://127.0.0.1:{there.port}/toy")
    named = table({"a": (digests[0], 1.0)}, named=(Arm("b", digests[1], 0.0),))
    publish_table(tmp_path, named)  # rules name it: it belongs to every table
    serving = look(reconciler)
    assert serving is not None
    assert "cannot be reached" in reconciler.problem
    (told,) = serving.predictors["b"].tell([Columns({}, 1)])  # type: ignore[union-attr]  # one that says why
    assert told.reason == reconciler.problem
    assert look(reconciler) is None
    there.start()
    serving = look(reconciler)
    assert serving is not None
    assert isinstance(serving.predictors["b"], RemotePredictor)
    assert reconciler.problem == ""


def test_a_champion_is_waited_for_where_it_is_to_be(tmp_path: Path, digests: tuple[str, str]) -> None:
    publish_table(tmp_path, table({"a": (digests[0], 1.0)}))
    reconciler = Reconciler(tmp_path, tmp_path / "bundles", CONFIG, {"a": "http://127.0.0.1:9/toy"})
    assert look(reconciler) is None
    assert "'a' at http://127.0.0.1:9/toy" in reconciler.problem


def test_another_task_than_the_endpoints_is_refused(tmp_path: Path) -> None:
    regression = bundle(tmp_path / "bundles", 0.0, signature=replace(SIGNATURE, labels=("no", "yes")))
    config = replace(CONFIG, task="multiclass")
    publish_table(tmp_path, table({"a": (regression, 1.0)}))
    reconciler = Reconciler(tmp_path, tmp_path / "bundles", config)
    assert look(reconciler) is None
    assert "'a' is for binary, the endpoint for multiclass" in reconciler.problem


def test_a_lease_holds_for_its_seconds_on_this_boot_only(tmp_path: Path, reconciler: Reconciler) -> None:
    assert reconciler.lease_until == -math.inf
    publish_lease(tmp_path, 30.0)
    look(reconciler)
    assert 25 < reconciler.lease_until - time.monotonic() <= 30
    (tmp_path / "lease.json").write_bytes(msgspec.json.encode(Lease("another boot", time.monotonic() + 30)))
    look(reconciler)
    assert reconciler.lease_until == -math.inf


@pytest.mark.parametrize(
    ("unit", "column", "header"), [("request", None, ""), ("user", "user", ""), ("header:X-User", None, "X-User")]
)
def test_a_unit_is_a_request_a_column_or_a_header(unit: str, column: str | None, header: str) -> None:
    config = EndpointConfig("toy", "binary", unit=unit)
    assert (config.unit_column, config.unit_header) == (column, header)


def test_the_champions_signature_is_the_endpoints(tmp_path: Path, digests: tuple[str, str]) -> None:
    publish_table(tmp_path, table({"a": (digests[0], 1.0)}))
    serving = look(Reconciler(tmp_path, tmp_path / "bundles", CONFIG))
    assert serving is not None
    assert isinstance(serving.signature, Signature)
