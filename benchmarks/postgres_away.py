"""PostgreSQL is stopped for a minute under load; then leaders are killed and frozen. What is lost, and for how long.

`rivals serve` with two workers, a canary at 25 %, two clients that predict and give feedback, a second host's control
process beside it. Asked: no failed prediction, no acknowledged feedback lost, all of it in the store 5 s after PostgreSQL is back;
the canary's share runs out 30 s after anybody led; another leader within 10 s. Run it as ``make bench-postgres``.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from tests.flows.conftest import Site, a_site
from tests.postgres import MISSING, Postgres, programs
from tests.stories.conftest import Server, free_port, wait_until
from tests.stories.test_kills import Load

from rivals.flows.routing import routes
from rivals.registry import schema
from rivals.values import SetRoutes

ROW = {"a": 0.5, "b": 0.25, "color": "red"}


def canary(one: Site) -> None:
    """The challenger gets a quarter, by hand: this is about the store, not the evidence."""
    one.start()
    table, running = one.workspace.table(), one.workspace.store.active_rollout("toy")
    assert running is not None
    with one.workspace.store.transaction() as tx:
        tx.put_table(routes(table, running, SetRoutes(0.25), []), expect=table.revision)


def told(one: Site) -> set[str]:
    return {row.id for row in one.workspace.store.rows(sa.select(schema.feedback.c.id))}


def away(one: Site, server: Server, postgres: Postgres, seconds: float) -> bool:
    stop = threading.Event()
    clients = [Load(server, number, stop, feedback=True, row=lambda _: ROW, pause=0.01) for number in range(2)]
    for client in clients:
        client.start()
    wait_until(lambda: sum(client.answered["new"] for client in clients) > 50, 60, server.log)
    postgres.stop()
    gone = time.monotonic()
    time.sleep(seconds)
    postgres.start()
    back, kept = time.monotonic(), {one for client in clients for one in list(client.acknowledged)}
    wait_until(lambda: kept <= told(one), 60, server.log)
    caught = time.monotonic() - back
    wait_until(
        lambda: any(when > back and of == "new" for client in clients for when, of in client.times), 60, server.log
    )
    stop.set()
    for client in clients:
        client.join()
    every = {one for client in clients for one in client.acknowledged}
    wait_until(lambda: every <= told(one), 60, server.log)
    times = [moment for client in clients for moment in client.times]
    wrong = sum(len(client.wrong) for client in clients)
    meanwhile = [when for when, _ in times if gone < when < back]
    last = max((when - gone for when, of in times if of == "new" and when < back), default=0.0)
    first = min(when - back for when, of in times if of == "new" and when > back)
    print(
        f"away {back - gone:.0f} s: {len(meanwhile):,} predictions answered meanwhile, {wrong} failed of {len(times):,}"
    )
    print(f"feedback: {len(every):,} acknowledged, {len(every - told(one))} lost")
    print(
        f"caught up {caught:.1f} s after it was back; the canary's last answer came after {last:.0f} s, the next {first:.1f} s after it was back"
    )
    return not wrong and every <= told(one) and caught < 5.0


def follow(server: Server, other: int, how: signal.Signals) -> float:
    """Seconds from the leader's end until the other host's control process leads."""
    control = server.control()
    os.kill(server.process.pid, signal.SIGSTOP)  # else it is started again at once
    os.kill(control, how)
    ended = time.monotonic()
    wait_until(lambda: leads(other), 60)
    took = time.monotonic() - ended
    os.kill(control, signal.SIGCONT)
    os.kill(server.process.pid, signal.SIGCONT)
    return took


def leads(port: int) -> bool:
    at: Any = type("At", (), {"control_port": port})
    return bool((Server.api(at, "/api/clock") or {}).get("leads"))


def standby(folder: Path, port: int) -> subprocess.Popen[bytes]:
    words = [sys.executable, "-m", "rivals", "control", "--control-port", str(port), "--clock", "wall"]
    with (folder / "control.log").open("ab") as log:
        return subprocess.Popen(words, cwd=folder, stderr=log)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--leaders", type=int, default=3, help="to end in each way; 0: none")
    given = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # what was started is stopped then too
    if (found := programs()) is None:
        raise SystemExit(MISSING)
    postgres, good, other = Postgres(found), True, None
    with tempfile.TemporaryDirectory() as place:
        folder, host = Path(place) / "one", Path(place) / "two"
        folder.mkdir()
        host.mkdir()
        one = a_site(folder / "rivals.yaml", f'store: {{url: "{postgres.database()}"}}\n')
        one.on(host)
        server = Server(folder, workers=2)
        try:
            wait_until(lambda: leads(server.control_port), 60, server.log)
            canary(one)
            good = away(one, server, postgres, given.seconds)
            port = free_port()
            for how in (signal.SIGKILL, signal.SIGSTOP) if given.leaders else ():
                taken = []
                for _ in range(given.leaders):
                    wait_until(lambda: leads(server.control_port), 60, server.log)
                    other = standby(host, port)
                    wait_until(lambda: Server.api(type("At", (), {"control_port": port}), "/api/clock"), 60)  # type: ignore[arg-type]
                    taken.append(follow(server, port, how))
                    other.kill()
                    other.wait()
                print(f"{how.name}: another leader after {', '.join(f'{one:.1f}' for one in sorted(taken))} s")
                good = good and max(taken) < 10.0
        finally:
            if other is not None:
                other.kill()
                other.wait()
            server.stop()
            one.workspace.store.close()
            postgres.remove()
    print("held" if good else "NOT held")
    raise SystemExit(not good)


if __name__ == "__main__":
    main()
