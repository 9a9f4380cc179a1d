"""Whose rule decides rightly? Other people's rules and ours over the same incidents, synthetic and of real flight days.

``arena.py [RUNS] [--write]``: RUNS of each incident (60 as published; 3 take well under a minute); ``--write`` puts the
tables into docs/arena.md. A seed makes every figure again, whatever the number of processes.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import cache, partial
from multiprocessing import get_context
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import prove_replays
from prove_replays import resampled, said

from rivals.decide.arena import Foreign, Ours, Ramp, Row, foreign, meet
from rivals.decide.certify import Measure
from rivals.decide.incidents import DAY, Incident, Truth, synthetic
from rivals.decide.judges.failures import Failures
from rivals.decide.judges.quality import Quality
from rivals.decide.judges.ratio import Ratio
from rivals.decide.judges.slices import Slices
from rivals.observe.evidence import EvidenceState, Rules, advance, begin, due, evidence

RUNS, SEED = 60, 1
PAGE = Path(__file__).parents[1] / "docs" / "arena.md"
FLIGHT_DAYS, FLIGHT_PART = 45, 0.5
TRUTHS: dict[str, Truth] = {
    "twin": "equal", "even": "equal", "mended": "better", "sabotaged": "worse", "one slice": "worse",
    "hidden slice": "worse",
}  # fmt: skip
SYNTHETIC, FLIGHTS = Ramp(), Ramp(days=FLIGHT_DAYS)


def ours(rules: Rules, name: str, judges: Quality) -> Ours[EvidenceState]:
    """The judges of the example project, slices and split watched too."""
    measure: Measure[EvidenceState] = Measure(
        begin=begin,
        due=lambda state, now: due(state, now, rules),
        advance=lambda state, exposures, blocks, now: advance(state, exposures, blocks, now, rules),
        evidence=evidence,
        block=rules.block,
    )
    return Ours(name, measure, (Failures(among=3), judges, Slices(among=3), Ratio()))


def entrants(block: float, delay: float, failing: float, wrong: float) -> list[Foreign | Ours[EvidenceState]]:
    """Everybody; ours as documented (promotes what is better) and tuned (promotes what is not worse by a margin)."""
    tuned = Rules(block=block, label_delay=delay, quality_margin=0.01, slice_margin=0.03)
    return [
        *foreign(failing, wrong),
        ours(Rules(block=block, label_delay=delay), "rivals, documented", Quality(among=3)),
        ours(tuned, "rivals, tuned", Quality("not_worse", among=3)),
    ]


@cache
def stage(which: str) -> tuple[list[Incident], list[Foreign | Ours[EvidenceState]], Ramp]:
    """Incidents, entrants and ramp."""
    if which == "synthetic":
        return synthetic(), entrants(DAY / 4, DAY / 4, 0.005, 0.3), SYNTHETIC
    period, answers = said()
    answers = {**answers, "mended": answers["sabotaged"][::-1]}
    incidents = [
        Incident(case, truth, partial(_flights, period, answers[case], case)) for case, truth in TRUTHS.items()
    ]
    return incidents, entrants(DAY, 2 * DAY, prove_replays.FAILING, 0.2), FLIGHTS


def _flights(period: object, answers: object, case: str, rng: object) -> object:
    return resampled(period, answers, case, rng, days=FLIGHT_DAYS, part=FLIGHT_PART)


def one(job: tuple[str, int, int]) -> list[Row]:
    """All entrants in one incident."""
    which, number, runs = job
    incidents, everybody, ramp = stage(which)
    return list(meet(incidents[number], everybody, range(runs), SEED, ramp))


# -- the tables --------------------------------------------------------------------------------------


def wrong(row: Row) -> str:
    """Wrong decisions, and none."""
    return f"{row.wrong:.0%}" + (f" ({row.undecided:.0%} held)" if row.undecided else "")


def days(row: Row) -> str:
    """Median and nine in ten, of the decided."""
    return "-" if row.days != row.days else f"{row.days:.1f} / {row.days_p90:.1f}"


def harmed(row: Row) -> str:
    """Requests per run."""
    return f"{row.harmed:+.0f}"


def table(rows: Sequence[Row], title: str, cell: Callable[[Row], str]) -> str:
    """A rule per line, an incident per column."""
    incidents = list(dict.fromkeys(row.incident for row in rows))
    truths = {row.incident: row.truth for row in rows}
    lines = [f"**{title}**", "", "| rule | " + " | ".join(f"{name} ({truths[name]})" for name in incidents) + " |"]
    lines.append("|---|" + "---:|" * len(incidents))
    for rule in dict.fromkeys(row.rule for row in rows):
        found = {row.incident: cell(row) for row in rows if row.rule == rule}
        lines.append(f"| {rule} | " + " | ".join(found[name] for name in incidents) + " |")
    return "\n".join(lines)


def tables(rows: Sequence[Row]) -> str:
    """Three of them."""
    return "\n\n".join([
        table(rows, "Wrong decisions: promoted though worse, or rolled back though not worse", wrong),
        table(rows, "Days until decided: median / nine in ten", days),
        table(rows, "Clients' requests harmed per rollout, beyond the champion's own", harmed),
    ])  # fmt: skip


def main() -> int:
    """Run everything; print it, and write it if asked to."""
    numbers = [int(one) for one in sys.argv[1:] if one.isdigit()]
    runs = numbers[0] if numbers else RUNS
    began, page = time.perf_counter(), PAGE.read_text()
    pool = ProcessPoolExecutor(os.cpu_count(), mp_context=get_context("fork"))
    for which in ("synthetic", "flights"):
        jobs = [(which, number, runs) for number in range(len(stage(which)[0]))]
        text = tables([row for rows in pool.map(one, jobs) for row in rows])
        print(f"## {which}, {runs} runs of each\n\n{text}\n", flush=True)
        first, last = f"<!-- {which} -->", f"<!-- end of {which} -->"
        before, after = page.split(first)[0], page.split(last)[1]
        page = f"{before}{first}\n{runs} runs of each incident, seed {SEED}.\n\n{text}\n{last}{after}"
    print(f"{time.perf_counter() - began:.0f} s")
    if "--write" in sys.argv:
        PAGE.write_text(page)
    return 0


if __name__ == "__main__":
    sys.exit(main())
