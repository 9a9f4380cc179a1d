"""The main job, end to end: rivals for a flight-delay model, built, compared, served, and decided on real traffic.

Everything here goes through the public doors: `rivals train` and `rivals compare` as methods, `rivals serve` as a
process, flights as HTTP requests on loopback in time order, labels as feedback when they come due.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import shutil
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))
os.chdir(HERE)

import numpy as np  # noqa: E402 -- the modules beside this file come first
from replay import Replay, Server, scores_by_sklearn  # noqa: E402
from watch import watched  # noqa: E402

import rivals  # noqa: E402
from rivals.app.show import built_table, explain_text, leaderboard_table  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Iterator

AT_LEAST = 60_000  # flights to send
CHALLENGERS = ["blend", "sabotaged", "twin"]  # an honest one, a broken one, and the new champion under another name


class Stages:
    """Headlines, and seconds per stage."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextmanager
    def stage(self, title: str) -> Iterator[None]:
        print(f"\n== {title} ".ljust(100, "="), flush=True)
        started = time.perf_counter()
        yield
        self.seconds[title] = time.perf_counter() - started


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--up", action="store_true", help="train if needed and serve until stopped, without the story")
    options.add_argument("--keep", action="store_true", help="use what was built before")
    chosen = options.parse_args()
    if not (chosen.up or chosen.keep):
        shutil.rmtree(HERE / ".rivals", ignore_errors=True)
    return up() if chosen.up else story()


def up() -> int:
    """Serve the demo's champion on the wall clock until stopped, with who watches it."""
    project = rivals.Project("rivals.yaml")
    print(built_table(project.train()))
    with watched(project):
        server = subprocess.Popen([sys.executable, "-m", "rivals", "serve", "--workers", "2"])
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: server.terminate())
        return server.wait()


def story() -> int:
    stages = Stages()
    with stages.stage("train: every variant side by side, each in a process of its own"):
        project = rivals.Project("rivals.yaml")
        built = project.train()
        print(built_table(built))
    with stages.stage("compare: from the prediction bank, nothing is fitted again"):
        board = project.compare()
        print(leaderboard_table(board))
        print(f"recommended: {board.recommended}: {board.reason}")
    with stages.stage("serve: one endpoint, real traffic, labels when they come due"):
        from flights import stream  # noqa: PLC0415 -- the data is read when it is needed

        flights = stream(month=5)
        with Server(HERE) as server:
            replay = Replay(project, server, flights)
            asyncio.run(replay.run(CHALLENGERS, AT_LEAST))
            ends = {name: (phase, reason) for name, phase, reason in replay.ends}
            print(replay.summary())
    with stages.stage("check: what the store says against scikit-learn on what the client received"):
        worst = check_scores(project, replay)
    with stages.stage("explain: one request"):
        print(explain_text(project.explain(replay.some_canary_request)))
    print("\nseconds: " + "; ".join(f"{title.split(':')[0]} {spent:.1f}" for title, spent in stages.seconds.items()))
    wanted = {"blend": "promoted", "sabotaged": "rolled_back", "twin": "held"}
    told = {name: ends.get(name, ("never started", ""))[0] for name in wanted}
    print("the story: " + ", ".join(f"{name} {phase.replace('_', ' ')}" for name, phase in told.items()))
    return 0 if told == wanted and worst <= 1e-9 and not replay.failed else 1


def check_scores(project: rivals.Project, replay: Replay) -> float:
    """Print both figures per variant; return the worst difference."""
    ours = project.status()["scores"]
    worst = 0.0
    for variant, theirs in sorted(scores_by_sklearn(replay.received).items()):
        for metric, value in theirs.items():
            worst = max(worst, abs(value - ours[variant][metric]))
        told = "  ".join(f"{metric} {value:.9f}" for metric, value in theirs.items() if metric != "labelled")
        print(f"{variant:>10}: {int(theirs['labelled']):>6} labelled  {told}")
    print(f"worst difference from sklearn.metrics in float64: {worst:.1e}")
    return worst if np.isfinite(worst) else float("inf")


if __name__ == "__main__":
    sys.exit(main())
