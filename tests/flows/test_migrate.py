"""`rivals migrate` on what the project file names; a place with a password comes from the environment."""

from __future__ import annotations

from pathlib import Path

import pytest

from rivals.errors import RivalsError, SpecError
from rivals.flows.doctor import examine
from rivals.flows.migrate import Migrated, migrate_store
from rivals.flows.workspace import open_workspace
from rivals.registry.revisions import migrate
from rivals.registry.schema import HEAD
from rivals.registry.store import Store

PROJECT = """
project: toy
data: {{source: {{use: csv, with: {{path: rows.csv}}}}, task: binary, target: y}}
variants: [{{name: a, family: sklearn}}]
{more}
"""


def project(folder: Path, more: str = "") -> Path:
    (folder / "rivals.yaml").write_text(PROJECT.format(more=more))
    return folder


def test_a_store_goes_back_and_comes_forward(tmp_path: Path, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STORE", url)
    workspace = open_workspace(project(tmp_path, "store: {env: STORE}"))
    workspace.store.close()
    assert migrate_store(workspace, "0001") == Migrated(HEAD, "0001")
    assert migrate_store(workspace) == Migrated("0001", HEAD)
    assert migrate_store(workspace) == Migrated(HEAD, HEAD)


def test_the_doctor_says_what_a_store_is_and_changes_nothing(
    tmp_path: Path, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def told(where: str) -> tuple[str, str]:
        monkeypatch.setenv("STORE", where)
        return next(
            (one.state, one.told) for one in examine([project(tmp_path, "store: {env: STORE}")]) if one.what == "store"
        )

    assert told(f"sqlite:///{tmp_path / 'new.db'}") == ("ok", "new; its tables are made when it is used")
    Store(url).close()
    assert told(url) == ("ok", f"at revision {HEAD}")
    migrate(url, "0001")
    assert told(url) == ("broken", f"at revision 0001, this rivals needs {HEAD}; `rivals migrate`.")
    assert told("postgresql://u:secret@127.0.0.1:1/db")[1].startswith("The store postgresql+psycopg://u:***@")


def test_where_nothing_is_said_it_is_a_file_beside_the_project(tmp_path: Path) -> None:
    workspace = open_workspace(project(tmp_path))
    assert workspace.store_url == f"sqlite:///{tmp_path}/.rivals/store.db"
    assert workspace.tracking_uri == f"sqlite:///{tmp_path}/.rivals/mlflow.db"
    workspace = open_workspace(
        project(tmp_path, "store: {url: 'sqlite:////elsewhere.db'}\ntracking: {uri: 'http://m'}")
    )
    assert (workspace.store_url, workspace.tracking_uri) == ("sqlite:////elsewhere.db", "http://m")


@pytest.mark.parametrize(
    ("more", "told"),
    [
        ("store: {url: 'postgresql://u:secret@host/db'}", "store: the URL holds a password; .*env: NAME"),
        ("tracking: {uri: 'https://u:secret@host'}", "tracking: the URI holds a password; .*env: NAME"),
        ("store: {url: 'sqlite://', env: X}", "store: say one of url and env"),
        ("tracking: {uri: 'sqlite://', env: X}", "tracking: say one of uri and env"),
        ("store: {urll: x}", "unknown key"),
    ],
)
def test_a_place_that_cannot_be_is_refused(tmp_path: Path, more: str, told: str) -> None:
    with pytest.raises(SpecError, match=told) as caught:
        open_workspace(project(tmp_path, more))
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("key", ["store", "tracking"])
def test_a_variable_that_holds_nothing_is_named(tmp_path: Path, key: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NOWHERE", raising=False)
    workspace = open_workspace(project(tmp_path, f"{key}: {{env: NOWHERE}}"))
    with pytest.raises(RivalsError, match=rf"{key}\.env: the environment variable NOWHERE holds no URL; set it"):
        _ = workspace.store if key == "store" else workspace.tracker
