"""The shelf: never more than its budget, nobody waits for another's load, and who was put away comes back."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rivals.serve import shelf
from rivals.serve.reconcile import EndpointConfig, Reconciler, publish_table
from rivals.serve.runtimes import open_bundle
from rivals.serve.shelf import Shelf, Shelved
from rivals.values import Arm, Columns, Use

from .stage import ROW, bundle, table
from .test_endpoint import Fixture, Model

ONE = [Columns({name: [value] for name, value in ROW.items()}, 1)]


@pytest.fixture(scope="module")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("bundles")
    return [folder / bundle(folder, 0.1 * number) for number in range(6)]


def shelved(folder: Path, where: Shelf, opens: Callable[[], object] = lambda: None) -> Shelved:
    def opened() -> object:
        opens()
        return open_bundle(folder, folder.parent.joinpath)

    return Shelved(folder, opened, where)  # type: ignore[arg-type]  # a Predictor


@given(asked=st.lists(st.integers(0, 5), max_size=40), room=st.integers(1, 4))
def test_the_budget_holds_and_the_least_recently_asked_goes(bundles: list[Path], asked: list[int], room: int) -> None:
    where = Shelf(0)
    every = [shelved(folder, where) for folder in bundles]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shelf, "resident", lambda: 0)  # the bound counts, whatever this process does
        where.most = room * max(one.bound for one in every)
        recent: list[int] = []
        for number in asked:
            assert len(every[number].tell(ONE)[0].outputs) == 1
            recent = [one for one in recent if one != number] + [number]
            assert where.held <= where.most
            assert [one for one in range(6) if every[one].opened] == sorted(recent[-room:])


def test_one_that_is_larger_than_the_budget_answers_alone(bundles: list[Path]) -> None:
    where = Shelf(1)
    one, other = shelved(bundles[0], where), shelved(bundles[1], where)
    assert one.tell(ONE)[0].outputs
    assert other.tell(ONE)[0].outputs
    assert (one.opened, other.opened is None) == (None, False)


def test_two_cold_loads_overlap(bundles: list[Path]) -> None:
    where, both = Shelf(1 << 30), threading.Barrier(2, timeout=10)
    threads = [threading.Thread(target=shelved(folder, where, both.wait).open) for folder in bundles[:2]]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()  # neither could pass the barrier alone
    assert not both.broken
    assert where.held > 0


def test_several_who_ask_for_one_load_it_once(bundles: list[Path]) -> None:
    loads: list[int] = []
    one = shelved(bundles[0], Shelf(1 << 30), lambda: (loads.append(1), time.sleep(0.05)))
    threads = [threading.Thread(target=one.tell, args=(ONE,)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert loads == [1]


class Slow(Shelved):
    """Takes until ``gate`` to open."""

    def __init__(self, where: Shelf) -> None:
        self.signature, self.digest, self.bound, self.opened = Model.signature, "slow", 1, None
        self.gate, self._shelf, self._turn = threading.Event(), where, threading.Lock()

    def _opens(self) -> Model:
        self.gate.wait()
        return Model()


@pytest.fixture
def stage() -> Iterator[tuple[Fixture, Slow]]:
    slow = Slow(Shelf(1 << 30))
    made = Fixture({"champion": Model(), "slow": slow}, {"champion": 0.5, "slow": 0.5})  # type: ignore[dict-item]  # a stand-in
    yield made, slow
    slow.gate.set()
    made.endpoint.close()


def test_a_model_that_loads_for_long_blocks_nobody_and_answers_in_the_loop_once_it_is_open(
    stage: tuple[Fixture, Slow],
) -> None:
    made, slow = stage
    made.submit("cold", pin="slow")
    made.tape.turn()
    made.submit("quick", pin="champion")
    while "quick" not in made.answers:
        made.tape.turn()
    assert "cold" not in made.answers
    slow.gate.set()
    made.run()
    assert made.answer("cold").variant == "slow"
    made.submit("warm", pin="slow")
    made.tape.turn()
    made.tape.turn()
    assert made.answer("warm").variant == "slow"


def test_what_rules_name_is_on_the_shelf_and_arms_are_not(tmp_path: Path) -> None:
    folder = tmp_path / "bundles"
    digests = [bundle(folder, 0.3 * number) for number in range(4)]
    rules = [{"when": {"column": "desk", "is": n}, "to": f"v{n}"} for n in (1, 2, 3)]
    named = tuple(Arm(f"v{n}", digests[n], 0.0) for n in (1, 2, 3))
    first = table({"v0": (digests[0], 1.0)}, policy=Use("match", {"rules": rules}), named=named)
    bound = Shelved(folder / digests[0], lambda: None, Shelf(0)).bound  # type: ignore[arg-type,return-value]  # never opened
    reconciler = Reconciler(tmp_path, folder, EndpointConfig("toy", "binary", shelf_mb=2 * bound // (1 << 20)))
    import asyncio

    publish_table(tmp_path, first)
    serving = asyncio.run(reconciler.look())
    assert serving
    assert serving.away == {"v1", "v2", "v3"}
    kinds = {name: type(one).__name__ for name, one in serving.predictors.items()}
    assert kinds["v0"] == "NativePredictor"
    for name in ("v1", "v2", "v3"):
        assert serving.predictors[name].tell(ONE)[0].outputs  # type: ignore[union-attr]
    publish_table(tmp_path, replace(first, revision=2, named=named[:1]))
    after = asyncio.run(reconciler.look())
    assert after
    assert after.predictors["v1"] is serving.predictors["v1"]
    assert serving.predictors["v3"].opened is None, "it was put away with the table that named it"  # type: ignore[union-attr]
