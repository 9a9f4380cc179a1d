"""Where a variant comes from: the code, the packages and the seed, so that it can be built again."""

from __future__ import annotations

import hashlib
import os
import platform
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import distributions
from pathlib import Path

DIFF_BYTES = 1 << 20
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
    diff: str  # of tracked files against the commit, then the names of untracked ones
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
        diff = _git(folder, "diff", "--no-ext-diff", "--no-textconv", "--no-color", commit, "--", ":/", _OURS)
    diff += "".join(f"untracked: {name}\n" for name in untracked)
    return commit, branch, dirty, _bounded(diff)


def _git(folder: Path, *words: str) -> str:
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
    return done.stdout.decode(errors="replace") if done.returncode == 0 else ""


def _bounded(text: str) -> str:
    raw = text.encode()
    if len(raw) <= DIFF_BYTES:
        return text
    return f"{raw[:DIFF_BYTES].decode(errors='ignore')}\n... and {len(raw) - DIFF_BYTES} bytes more\n"


def _packages() -> dict[str, str]:
    found: dict[str, str] = {}
    for one in distributions():  # in the order of the search path: the first is the one that is imported
        if name := one.metadata["Name"]:
            found.setdefault(name, one.version)
    return dict(sorted(found.items(), key=lambda item: item[0].lower()))
