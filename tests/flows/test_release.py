"""A release: what is deployed is what was signed, and what the gate let pass."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from base64 import b64decode, b64encode
from pathlib import Path

import pytest

from rivals.errors import Refused
from rivals.flows.deploy import deployment_of
from rivals.flows.gate import gate_project
from rivals.flows.release import release, vouched
from rivals.flows.train import train_project
from rivals.flows.workspace import Workspace, open_workspace

PROJECT = """
project: shipped
data: {source: {use: function, with: {function: "rivals.testing:sample"}}, task: binary, target: y}
features: {plain: [{use: impute, with: {columns: numeric}}, {use: encode, with: {columns: text}}]}
variants:
  - {name: one, features: plain, family: sklearn, with: {estimator: LogisticRegression}}
  - {name: two, features: plain, family: sklearn, with: {estimator: LogisticRegression, C: 0.1}}
gate: [{use: size, with: {max_kb: 500}}, parity]
endpoint: {name: shipped, champion: one}
deploy: {trust: [release.pub], environments: [staging, production]}
"""


def rivals(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "rivals", *words], capture_output=True, text=True, cwd=folder, check=False
    )


def keys(folder: Path, name: str) -> Path:
    private = folder / f"{name}.pem"
    for words in (
        ["genpkey", "-algorithm", "ed25519", "-out", str(private)],
        ["pkey", "-in", str(private), "-pubout", "-out", str(folder / f"{name}.pub")],
    ):
        subprocess.run(["openssl", *words], check=True, capture_output=True)
    return private


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("shipped")
    (folder / "rivals.yaml").write_text(PROJECT)
    keys(folder, "release")
    workspace = open_workspace(folder)
    assert not train_project(workspace).failed
    gate_project(workspace, "one")
    return folder


@pytest.fixture
def built(template: Path, tmp_path: Path) -> Workspace:
    shutil.copytree(template, tmp_path / "here")
    return open_workspace(tmp_path / "here")


def deploy(built: Workspace, *words: str) -> subprocess.CompletedProcess[str]:
    return rivals(built.folder, "deploy", "kubernetes", "--out", "out", *words)


def test_what_is_released_is_deployed_and_its_evidence_travels_with_it(built: Workspace) -> None:
    done = rivals(built.folder, "release", "one", "--key", "release.pem", "--by", "ada")
    assert done.returncode == 0, done.stderr
    done = deploy(built)
    assert done.returncode == 0, done.stderr
    said = json.loads(b64decode(json.loads((built.folder / "out/evidence/one.dsse").read_bytes())["payload"]))
    assert said["_type"] == "https://in-toto.io/Statement/v1"
    assert said["predicate"]["by"] == "ada"
    assert said["predicate"]["gate"]["status"] == "pass"
    assert said["predicate"]["data"]["columns"]
    assert {"commit", "dirty"} == said["predicate"]["code"].keys()
    digest = built.trained("one").digest
    bill = json.loads((built.folder / "out/evidence/one.cdx.json").read_bytes())
    pins = (built.blobs.path(digest) / "requirements.txt").read_text().split()
    assert sorted(f"{part['name']}=={part['version']}" for part in bill["components"]) == sorted(pins)
    assert bill["metadata"]["component"]["hashes"] == [{"alg": "SHA-256", "content": digest}]


def test_a_bundle_that_is_not_released_is_refused_in_a_sentence(built: Workspace) -> None:
    done = deploy(built)
    assert done.returncode == 1
    assert "one is not deployed: bundle" in done.stderr
    assert "has no signed release; `rivals release one --key KEY` makes one." in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert not (built.folder / "out").exists(), "nothing was written"


def test_an_envelope_without_its_signature_is_refused(built: Workspace) -> None:
    made = Path(release(built, "one", built.folder / "release.pem").evidence)
    made.write_text(json.dumps({**json.loads(made.read_bytes()), "signatures": []}))
    done = deploy(built)
    assert (done.returncode, "its evidence carries no signature" in done.stderr) == (1, True), done.stderr


@pytest.mark.parametrize("file", ["model.onnx", "requirements.txt", "rivals.json"])
def test_a_tampered_bundle_is_refused(built: Workspace, file: str) -> None:
    release(built, "one", built.folder / "release.pem")
    with (built.blobs.path(built.trained("one").digest) / file).open("ab") as stream:
        stream.write(b" ")
    done = deploy(built)
    assert done.returncode == 1
    assert "was changed after it was built" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_changed_evidence_another_key_and_another_bill_are_refused(built: Workspace) -> None:
    made = release(built, "one", built.folder / "release.pem")
    envelope = json.loads(Path(made.evidence).read_bytes())
    payload = b64decode(envelope["payload"]).replace(b'"dirty":true', b'"dirty":null')
    payload = payload if payload != b64decode(envelope["payload"]) else payload.replace(b'"dirty":false', b'"dirty":0')
    Path(made.evidence).write_text(json.dumps({**envelope, "payload": b64encode(payload).decode()}))
    with pytest.raises(Refused, match="no trusted key signed its evidence as it is now"):
        vouched(built, deployment_of(built))
    release(built, "one", keys(built.folder, "stranger"))
    with pytest.raises(Refused, match="no trusted key signed its evidence as it is now"):
        vouched(built, deployment_of(built))
    made = release(built, "one", built.folder / "release.pem")
    Path(made.sbom).write_text(Path(made.sbom).read_text().replace("numpy", "numpie"))
    with pytest.raises(Refused, match="its bill of materials is not the one that was signed"):
        vouched(built, deployment_of(built))


def test_a_stale_gate_result_is_refused(built: Workspace) -> None:
    release(built, "one", built.folder / "release.pem")
    done = deploy(built, "--set", "deploy.gate_age=0s")
    assert done.returncode == 1
    assert "one is not deployed: what the gate said is stale" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    done = deploy(built, "--set", "gate=[parity]")
    assert (done.returncode, "stale, its judges are others now" in done.stderr) == (1, True), done.stderr
    with pytest.raises(Refused, match=r"stale, 8\.0 days old \(limit 7\)"):
        vouched(built, deployment_of(built), time.time() + 8 * 86_400)


def test_what_was_gated_against_another_champion_is_stale(built: Workspace) -> None:
    gate_project(built, "two")
    for name in ("one", "two"):
        release(built, name, built.folder / "release.pem")
    with_two = deployment_of(built, "two")
    assert set(vouched(built, with_two)) == {
        f"evidence/{v}.{kind}" for v in ("one", "two") for kind in ("dsse", "cdx.json")
    }
    other = open_workspace(built.folder, ["endpoint.champion=two"])
    with pytest.raises(Refused, match="one is not deployed: what the gate said is stale, it was asked against another"):
        vouched(other, deployment_of(other, "one"))


def test_only_what_the_gate_let_pass_is_released(built: Workspace) -> None:
    done = rivals(built.folder, "release", "two", "--key", "release.pem")
    assert (done.returncode, "The gate was not asked about two as it is built now" in done.stderr) == (1, True)
    strict = open_workspace(built.folder, ["gate=[{use: size, with: {max_kb: 1}}]"])
    gate_project(strict, "two")
    with pytest.raises(Refused, match=r"The gate did not let two pass \(fail\)"):
        release(strict, "two", built.folder / "release.pem")


def test_an_environment_takes_what_the_one_before_it_has(built: Workspace) -> None:
    release(built, "one", built.folder / "release.pem")
    done = deploy(built, "--env", "production")
    assert done.returncode == 1
    assert "does not enter production: staging has nothing; deploy it with --env staging first" in done.stderr
    for env in ("staging", "production"):
        done = deploy(built, "--env", env)
        assert done.returncode == 0, done.stderr
    aliases = built.tracker.aliases()
    assert aliases["staging"] == aliases["production"]
    done = deploy(built, "--env", "prodction")
    assert (done.returncode, "Did you mean 'production'" in done.stderr) == (2, True), done.stderr
