"""Where code comes from is told with git, without it, and without running anything of the repository's."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from rivals.registry import lineage as module
from rivals.registry.lineage import lineage


@pytest.fixture(autouse=True)
def _own_git(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))  # nobody's own settings
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")


def git(folder: Path, *words: str) -> str:
    settings = ["-c", "user.name=a", "-c", "user.email=a@example.org"]
    done = subprocess.run(["git", *settings, *words], cwd=folder, capture_output=True, text=True, check=True)
    return done.stdout.strip()


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    folder = tmp_path / "repository"
    (folder / "project" / ".rivals").mkdir(parents=True)
    (folder / "project" / "flights.py").write_text("A = 1\n")
    git(folder, "init", "-q", "-b", "main")
    git(folder, "add", ".")
    git(folder, "commit", "-q", "-m", "first")
    return folder


def test_a_clean_tree_is_its_commit(repository: Path) -> None:
    (repository / "project" / ".rivals" / "store.db").touch()  # ours, and nobody's code
    found = lineage(repository / "project", seed=7)
    assert found.commit == git(repository, "rev-parse", "HEAD")
    assert (found.branch, found.dirty, found.diff, found.seed) == ("main", False, "", 7)


def test_what_differs_from_the_commit_is_told(repository: Path) -> None:
    (repository / "project" / "flights.py").write_text("A = 2\n")
    (repository / "ünknown.py").write_text("B = 1\n")
    found = lineage(repository / "project")
    assert found.dirty
    assert "-A = 1\n+A = 2\n" in found.diff
    assert "+++ b/ünknown.py\n@@ -0,0 +1 @@\n+B = 1\n" in found.diff
    (repository / "rows.bin").write_bytes(b"x" * (module.UNTRACKED_BYTES + 1))
    assert lineage(repository / "project").diff.endswith("untracked: rows.bin\n")


def test_what_is_staged_differs_too(repository: Path) -> None:
    (repository / "project" / "flights.py").write_text("A = 2\n")
    git(repository, "add", ".")
    assert "+A = 2" in lineage(repository).diff


def test_a_long_diff_is_cut(repository: Path) -> None:
    (repository / "project" / "flights.py").write_text("# ü\n" * 500_000)
    found = lineage(repository)
    assert found.dirty
    assert len(found.diff.encode()) < module.DIFF_BYTES + 100
    assert found.diff.endswith("bytes more\n")


def test_a_detached_head_has_no_branch(repository: Path) -> None:
    git(repository, "checkout", "-q", "--detach")
    found = lineage(repository)
    assert (found.branch, found.dirty) == ("", False)


def test_before_the_first_commit_the_code_has_no_name(tmp_path: Path) -> None:
    git(tmp_path, "init", "-q", "-b", "main")
    found = lineage(tmp_path)
    assert (found.commit, found.branch, found.dirty) == ("", "main", True)


def test_outside_a_repository_and_without_git_nothing_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    outside = lineage(tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path))
    without = lineage(tmp_path)
    assert outside == without
    assert (outside.commit, outside.branch, outside.dirty, outside.diff) == ("", "", True, "")


def test_what_a_package_brings_inside_itself_is_not_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = lineage(tmp_path)
    inside = tmp_path / "package" / "bundled"
    (inside / "stowaway-1.0.dist-info").mkdir(parents=True)
    (inside / "stowaway-1.0.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: stowaway\nVersion: 1.0\n")
    monkeypatch.syspath_prepend(inside)
    assert lineage(tmp_path).packages["stowaway"] == "1.0"
    (tmp_path / "package" / "__init__.py").touch()
    assert lineage(tmp_path).packages == before.packages


def test_nothing_of_the_repositorys_own_is_run(repository: Path, tmp_path: Path) -> None:
    trap = tmp_path / "trap"
    trap.write_text(f"#!/bin/sh\ntouch '{tmp_path}/sprung'\n")
    trap.chmod(0o755)
    for setting in ("core.fsmonitor", "diff.external", "diff.py.command", "diff.py.textconv", "core.pager"):
        git(repository, "config", setting, str(trap))
    for hook in ("post-index-change", "post-checkout", "fsmonitor-watchman"):
        (repository / ".git" / "hooks").mkdir(exist_ok=True)
        (repository / ".git" / "hooks" / hook).symlink_to(trap)
    (repository / ".git" / "info" / "attributes").write_text("*.py diff=py\n")
    (repository / "project" / "flights.py").write_text("A = 2\n")
    (tmp_path / "sprung").unlink(missing_ok=True)
    assert "+A = 2" in lineage(repository).diff
    assert not (tmp_path / "sprung").exists()


def test_the_repository_is_the_projects_whoever_started_us(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "another"))
    assert lineage(repository).commit


def test_the_environment_is_told(tmp_path: Path) -> None:
    found = lineage(tmp_path)
    assert found.python == ".".join(map(str, sys.version_info[:3]))
    assert found.packages["numpy"]
    assert found.packages["rivals"] == found.rivals
    assert len(found.packages_digest) == 64
