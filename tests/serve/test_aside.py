"""A shadow's process: what it does there reaches nobody but the one who asks it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import rivals
from rivals.errors import BundleError
from rivals.serve import aside
from rivals.serve.aside import Aside
from rivals.serve.asking import tell
from rivals.serve.question import Asked
from rivals.serve.runtimes import open_bundle
from rivals.values import Columns

from .stage import ROW, Stage, bundle, table, wait_until

ROWS = [Columns({"a": [0.25 * n, 1.0], "b": [None, 2.0], "color": ["red", "green"]}, 2) for n in range(5)]
ONE = [Columns({name: [value] for name, value in ROW.items()}, 1)]

BAD = """
import sys, time, os
from rivals.serve import aside

class Bad:
    def __init__(self, inner):
        self.signature, self.inner = inner.signature, inner
    def predict(self, columns):
        if "red" in columns.values["color"]:
            {deed}
        return self.inner.predict(columns)

opened = aside.open_bundle
aside.open_bundle = lambda *args: Bad(opened(*args))
aside.main()
"""


@pytest.fixture
def bad(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Aside]:
    """A variant whose process does a deed where the color is red."""

    def start(deed: str) -> Aside:
        script = tmp_path / "bad.py"
        script.write_text(BAD.format(deed=deed))
        monkeypatch.setattr(aside, "COMMAND", (str(script),))
        return Aside(tmp_path, bundle(tmp_path, 0.5))

    return start


def blue(one: Aside) -> bool:
    """Whether it answers what does no harm."""
    told = one.tell([Columns({"a": [0.5], "b": [None], "color": ["blue"]}, 1)])
    return [len(got.outputs) for got in told] == [1]


def test_it_answers_as_the_bundle_does_in_process(tmp_path: Path) -> None:
    digest = bundle(tmp_path, 0.5)
    here = open_bundle(tmp_path / digest, lambda name: tmp_path / name)
    there = Aside(tmp_path, digest)
    assert there.signature == here.signature
    assert [told.outputs for told in there.tell(ROWS)] == [told.outputs for told in tell(here, ROWS)]


def test_a_number_beyond_64_bits_is_asked_as_the_float_it_is_to_a_model(tmp_path: Path) -> None:
    there = Aside(tmp_path, bundle(tmp_path, 0.5))
    told = there.tell([Columns({"a": [10**30, -1.5], "b": [2**63, None], "color": ["red", None]}, 2)])
    assert [len(got.outputs) for got in told] == [2]


def test_a_bundle_that_cannot_be_opened_says_why(tmp_path: Path) -> None:
    spoilt = Aside(tmp_path, bundle(tmp_path, 0.5, spoilt=True))
    with pytest.raises(BundleError, match="answers its probe"):
        spoilt.tell(ONE)
    digest = bundle(tmp_path, 0.25)
    (tmp_path / digest / "stranger").touch()
    with pytest.raises(BundleError, match="is not what its name says"):
        Aside(tmp_path, digest)


@pytest.mark.parametrize(
    ("deed", "told"), [("os._exit(3)", "exit 3"), ("os.abort()", "exit -6"), ("sys.exit(7)", "exit 7")]
)
def test_a_process_that_ends_is_told_and_comes_back(
    bad: Callable[[str], Aside], monkeypatch: pytest.MonkeyPatch, deed: str, told: str
) -> None:
    one = bad(deed)
    with pytest.raises(BundleError, match=f"Its process ended \\({told}\\)"):
        one.tell(ONE)
    with pytest.raises(BundleError, match="not started again yet"):
        one.tell(ONE)
    monkeypatch.setattr(one, "_again", 0.0)
    assert blue(one)


def test_a_process_that_hangs_is_ended(bad: Callable[[str], Aside], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(aside, "HANG", 0.5)
    one = bad("time.sleep(60)")
    with pytest.raises(BundleError, match=r"no answer in 0\.5 s"):
        one.tell(ONE)


def test_what_a_model_prints_is_no_answer(bad: Callable[[str], Aside]) -> None:
    one = bad("print('x' * 100_000); sys.stdout.flush()")
    assert len(one.tell(ONE)[0].outputs) == 1


def test_one_bad_row_is_one_failure(bad: Callable[[str], Aside]) -> None:
    one = bad("1 / 0")
    good = [Columns({"a": [0.5], "b": [None], "color": ["blue"]}, 1)]
    told = one.tell([*good, *ONE, *good])
    assert [got.reason for got in told] == ["", "ZeroDivisionError: division by zero", ""]


def test_the_process_ends_with_its_owner(tmp_path: Path) -> None:
    one = Aside(tmp_path, bundle(tmp_path, 0.5))
    link = one._link
    assert link
    process = link._process
    del link, one
    wait_until(lambda: process.poll() is not None, 10)


def test_a_process_does_not_outlive_a_worker_that_was_killed(tmp_path: Path) -> None:
    digest = bundle(tmp_path, 0.5)
    script = (
        "import sys, time; from pathlib import Path; from rivals.serve.aside import Aside;"
        "one = Aside(Path(sys.argv[1]), sys.argv[2]); print(one._link._process.pid, flush=True); time.sleep(60)"
    )
    worker = subprocess.Popen([sys.executable, "-c", script, str(tmp_path), digest], stdout=subprocess.PIPE)
    assert worker.stdout
    pid = int(worker.stdout.readline())
    worker.kill()
    worker.wait()
    worker.stdout.close()
    wait_until(lambda: not running(pid), 10)


def running(pid: int) -> bool:
    try:
        return "Z" not in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_the_environment_of_the_endpoint_stays_with_it(
    bad: Callable[[str], Aside], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RIVALS_TOKEN", "secret")
    one = bad("raise ValueError(os.environ.get('RIVALS_TOKEN', 'nothing'))")
    assert one.tell(ONE)[0].reason == "ValueError: nothing"
    assert os.environ["RIVALS_TOKEN"] == "secret"


# -- an environment of its own ---------------------------------------------------------------------------


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of a virtual environment that has rivals and what it needs, and a package of its own."""
    folder = tmp_path_factory.mktemp("env")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    (packages,) = folder.glob("lib/python*/site-packages")
    ours = {str(Path(module.__file__).parent.parent) for module in (rivals, np)}
    (packages / "ours.pth").write_text("\n".join(ours))
    (packages / "only_here.py").write_text("")
    return folder / "bin" / "python"


def test_a_variant_may_have_an_environment_of_its_own(stage: Callable[..., Stage], environment: Path) -> None:
    made = stage(asked={"strong": Asked(python=str(environment))})
    made.publish(table({"weak": (made.weak, 1.0), "strong": (made.strong, 0.0)}))
    made.start()
    status, headers, body = made.infer(X_Rivals_Variant="strong")
    assert (status, headers["x-rivals-variant"], "x-rivals-degraded" in headers) == (200, "strong", False)
    alone = open_bundle(made.bundles / made.strong, lambda digest: made.bundles / digest).predict(ONE[0])
    assert body["outputs"][0]["data"] == pytest.approx(alone[0].tolist())
    (worker,) = made.workers
    tasks = Path(f"/proc/{worker.pid}/task").glob("*/children")
    children = [pid for task in tasks for pid in task.read_text().split()]
    assert [Path(f"/proc/{pid}/cmdline").read_text().partition("\0")[0] for pid in children] == [str(environment)]


def test_what_is_in_an_environment_alone_is_found_there_alone(environment: Path) -> None:
    def finds(python: str) -> int:
        words = [python, "-c", "import only_here, rivals.serve.aside"]
        return subprocess.run(words, check=False, capture_output=True).returncode

    assert (finds(str(environment)), finds(sys.executable)) == (0, 1)


def test_an_environment_without_rivals_is_said_to_be_that(tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / "env"], check=True)
    python = str(tmp_path / "env/bin/python")
    with pytest.raises(
        BundleError, match=r"ended \(exit 1\)\. Has .*env/bin/python rivals of this version installed\?"
    ):
        Aside(tmp_path, bundle(tmp_path, 0.5), python=python).ready()
