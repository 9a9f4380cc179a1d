"""A real PostgreSQL for tests: a cluster of their own in a temporary folder, on a socket in it."""

from __future__ import annotations

import itertools
import os
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path

import sqlalchemy as sa

MISSING = "MISSING PART: PostgreSQL; make parts installs it"
USER = "postgres"  # PostgreSQL refuses to run as root


def programs() -> Path | None:
    """Where initdb and postgres are; the newest of several. None where there are none."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: float(path.parts[4]))
    on_path = shutil.which("initdb")
    return found[-1].parent if found else Path(on_path).parent if on_path else None


class Postgres:
    """A server that can be stopped and started, with a database of its own for each who asks."""

    def __init__(self, bin_: Path) -> None:
        self._bin, self._process, self._numbers = bin_, None, itertools.count()
        # Not below pytest's own folders: those are closed to other users.
        self.folder = Path(tempfile.mkdtemp(prefix="rivals-pg-"))
        if os.geteuid() == 0:
            shutil.chown(self.folder, USER)
        # A language of its own: what has to be sorted by code points must not be sorted by this.
        words = ["initdb", "-A", "trust", "-U", "rivals", "-E", "UTF8", "--locale=C.UTF-8", "--no-sync"]
        words += ["--locale-provider=icu", "--icu-locale=en-US", "-D", str(self.folder / "data")]
        done = subprocess.run(self._as_user(words), capture_output=True, text=True, cwd="/", check=False)
        assert done.returncode == 0, done.stderr
        self.start()

    def _as_user(self, words: list[str]) -> list[str]:
        command = [str(self._bin / words[0]), *words[1:]]
        # With whoever started it gone, it stops too.
        who = ["--reuid", USER, "--regid", USER, "--init-groups"] if os.geteuid() == 0 else []
        return ["setpriv", *who, "--pdeathsig", "INT", *command]

    def start(self) -> None:
        """Start it; returns when it answers."""
        words = ["postgres", "-D", str(self.folder / "data"), "-k", str(self.folder), "-c", "listen_addresses="]
        # What makes it quick; a test that asks what survives a crash of the machine needs other ones.
        for setting in ("fsync=off", "synchronous_commit=off", "full_page_writes=off", "max_connections=200"):
            words += ["-c", setting]
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(self._as_user(words), stdout=log, stderr=log, cwd="/")
        deadline = time.monotonic() + 60
        while not self.answers():
            assert time.monotonic() < deadline, (self.folder / "log").read_text()
            assert self._process.poll() is None, (self.folder / "log").read_text()
            time.sleep(0.02)

    def stop(self) -> None:
        """Stop it at once: who is connected is cut off."""
        if self._process is not None:
            self._process.send_signal(signal.SIGINT)
            self._process.wait(timeout=60)
            self._process = None

    def remove(self) -> None:
        self.stop()
        shutil.rmtree(self.folder)

    def answers(self) -> bool:
        try:
            self.sql("select 1")
        except sa.exc.OperationalError:
            return False
        return True

    def url(self, database: str) -> str:
        return f"postgresql+psycopg://rivals@/{database}?host={self.folder}"

    def sql(self, statement: str, database: str = "postgres") -> list[tuple[object, ...]]:
        """What a statement answers, on a connection of its own."""
        engine = sa.create_engine(self.url(database), isolation_level="AUTOCOMMIT", poolclass=sa.pool.NullPool)
        with engine.connect() as connection:
            found = connection.exec_driver_sql(statement)
            return [tuple(row) for row in found] if found.returns_rows else []

    def database(self, template: str = "template0") -> str:
        """A new database, as a copy of another one that nobody is connected to; its URL."""
        name = f"t{next(self._numbers)}"
        self.sql(f"create database {name} template {template}")
        return self.url(name)

    def drop(self, url: str) -> None:
        """Remove a database, whoever is still connected to it."""
        self.sql(f"drop database {sa.make_url(url).database} with (force)")
