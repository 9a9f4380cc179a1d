"""Where a variant comes from: the code, the packages and the seed, so that it can be built again."""

from __future__ import annotations

import hashlib
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import distributions
from pathlib import Path

from rivals.errors import RivalsError

DIFF_BYTES = 1 << 20
UNTRACKED_BYTES = 1 << 18  # of a file that git does not know and the patch still holds: code, not data
GIT_SECONDS = 10

# Nothing of the repository's own may run while it is looked at: no hooks, no monitors, no diff programs.
_GIT = ("git", "-c", f"core.hooksPath={os.devnull}", "-c", "core.fsmonitor=false", "-c", "core.quotePath=false")
_OURS = ":(exclude,top,glob)**/.rivals/**"


@dataclass(frozen=True, slots=True)
class Lineage:
    """What a variant was built with. Without git, ``commit`` is empty and ``dirty`` is true: the code has no name."""

    commit: str
    branch: str
    dirty: bool
    diff: str  # against the commit, untracked code included; then the names of untracked files that are too large
    python: str
    platform: str
    packages: Mapping[str, str]  # versions by name
    packages_digest: str
    rivals: str
    seed: int = 0


def lineage(folder: Path, seed: int = 0) -> Lineage:
    """Look at the project in ``folder`` and at this Python. Never fails for want of git, or of a repository."""
    commit, branch, dirty, diff = _code(folder)
    packages = _packages()
    lines = "".join(f"{name}=={version}\n" for name, version in packages.items())
    return Lineage(
        commit=commit,
        branch=branch,
        dirty=dirty,
        diff=diff,
        python=platform.python_version(),
        platform=platform.platform(),
        packages=packages,
        packages_digest=hashlib.sha256(lines.encode()).hexdigest(),
        rivals=packages.get("rivals", ""),
        seed=seed,
    )


def _code(folder: Path) -> tuple[str, str, bool, str]:
    """Commit, branch, whether anything differs from the commit, and how."""
    status = _git(folder, "status", "--porcelain=v2", "--branch", "-z", "--", ":/", _OURS)
    if not status:
        return "", "", True, ""
    records = status.split("\0")
    head = {key: value for key, _, value in (one[2:].partition(" ") for one in records if one.startswith("# "))}
    commit = head.get("branch.oid", "").replace("(initial)", "")
    branch = head.get("branch.head", "").replace("(detached)", "")
    untracked = [one[2:] for one in records if one.startswith("? ")]
    dirty = any(one and not one.startswith("# ") for one in records) or not commit
    diff = ""
    if commit and dirty:
        diff = _git(
            folder, "diff", "--binary", "--no-ext-diff", "--no-textconv", "--no-color", commit, "--", ":/", _OURS
        )
    root = root_of(folder) or folder
    small = [name for name in untracked if commit and _small(root / name)]
    diff += "".join(_added(root, name) for name in small)
    diff += "".join(f"untracked: {name}\n" for name in untracked if name not in small)
    return commit, branch, dirty, _bounded(diff)


def _small(file: Path) -> bool:
    return file.is_file() and not file.is_symlink() and file.stat().st_size <= UNTRACKED_BYTES


def _added(root: Path, name: str) -> str:
    """A file that git does not know, as the patch that makes it."""
    return _git(
        root, "diff", "--no-index", "--no-ext-diff", "--no-textconv", "--no-color", "--binary", os.devnull, name
    )


def _git(folder: Path, *words: str, errors: bool = False) -> str:
    """What git says; nothing where there is no git, no repository, or no answer in time."""
    # Variables of a git that started us (in a hook, say) would point at another repository.
    environment = {key: value for key, value in os.environ.items() if not key.startswith("GIT_")}
    environment |= {"GIT_OPTIONAL_LOCKS": "0", "GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C"}
    try:
        done = subprocess.run(  # noqa: S603 -- our own words, and no shell
            [*_GIT, *words], cwd=folder, env=environment, capture_output=True, timeout=GIT_SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    differ = done.returncode == 1 and "--no-index" in words  # it says so by its exit code
    said = done.stdout + done.stderr if errors else done.stdout
    return said.decode(errors="replace") if done.returncode == 0 or differ else ""


def root_of(folder: Path) -> Path | None:
    """The top of the git repository that ``folder`` is in; None where it is in none."""
    found = _git(folder, "rev-parse", "--show-toplevel").strip()
    return Path(found) if found else None


@contextmanager
def checked_out(folder: Path, commit: str, patch: str) -> Iterator[Path]:
    """The repository of ``folder`` at ``commit`` with ``patch`` on top, in a worktree that is gone afterwards.

    Raises ``RivalsError`` where the commit is not there any more, or the patch was cut and does not fit.
    """
    with tempfile.TemporaryDirectory(prefix="rivals-worktree-") as name:
        place = Path(name) / "tree"
        if not _git(folder, "cat-file", "-t", f"{commit}^{{commit}}"):
            raise RivalsError(f"Commit {commit[:12]} is not in this repository; fetch it (git fetch --all) first.")
        try:
            _git(folder, "worktree", "add", "--detach", "--force", str(place), commit)
            if not place.is_dir():
                raise RivalsError(f"git cannot make a worktree of {commit[:12]} (git worktree add).")
            file = Path(name) / "dirty.diff"
            file.write_text(patch)
            applied = "diff --git" not in patch or _git(place, "apply", "--verbose", "--index", str(file), errors=True)
            if not applied:
                raise RivalsError(f"What differed from {commit[:12]} was too much to be kept, and cannot be put back.")
            yield place
        finally:
            _git(folder, "worktree", "remove", "--force", str(place))
            _git(folder, "worktree", "prune")


def _bounded(text: str) -> str:
    raw = text.encode()
    if len(raw) <= DIFF_BYTES:
        return text
    return f"{raw[:DIFF_BYTES].decode(errors='ignore')}\n... and {len(raw) - DIFF_BYTES} bytes more\n"


def _packages() -> dict[str, str]:
    found: dict[str, str] = {}
    # What a package brings inside itself, as Ray does, is on the path once that was imported: it is not installed.
    paths = [path for path in sys.path if not (Path(path).parent / "__init__.py").is_file()]
    for one in distributions(path=paths):  # in the order of the search path: the first is the one that is imported
        if name := one.metadata["Name"]:
            found.setdefault(name, one.version)
    return dict(sorted(found.items(), key=lambda item: item[0].lower()))
