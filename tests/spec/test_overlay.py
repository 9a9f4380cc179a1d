"""Files on top of files: merged by key and by name, and every mistake points at the file it stands in."""

from __future__ import annotations

from pathlib import Path

import pytest

from rivals.errors import SpecError
from rivals.spec.load import load
from rivals.spec.project import ProjectSpec
from rivals.values import Use

BASE = """\
project: p
data: {source: {use: csv, with: {path: a.csv}}, task: binary, target: y}
variants:
  - {name: a, family: sklearn, with: {estimator: E, C: 1}}
  - {name: b, family: lightgbm}
endpoint:
  name: e
  rollout: {steps: [1%, 5%]}
"""


def merged(tmp_path: Path, above: str, *settings: str) -> ProjectSpec:
    (tmp_path / "base.yaml").write_text(BASE)
    (tmp_path / "prod.yaml").write_text(above)
    return load([tmp_path / "base.yaml", tmp_path / "prod.yaml"], settings)


def test_an_overlay_merges_keys_and_named_items_and_replaces_the_rest(tmp_path: Path) -> None:
    above = """\
data: {source: {use: parquet, with: {file: b}}}
variants:
  - {name: b, with: {n_estimators: 5}}
  - {name: c, model: m.skops}
  - {name: a, with: {C: 2}}
endpoint: {rollout: {steps: [10%]}, autonomy: act}
"""
    spec = merged(tmp_path, above, "variants.c.model=other.skops")
    assert spec.data.source == Use("parquet", {"file": "b"})  # another plug-in: nothing of the old one's options
    assert [one.name for one in spec.variants] == ["a", "b", "c"]
    assert dict(spec.variant("a").with_) == {"estimator": "E", "C": 2}
    assert (spec.variant("b").family, dict(spec.variant("b").with_)) == ("lightgbm", {"n_estimators": 5})
    assert spec.variant("c").model == "other.skops"
    assert spec.endpoint
    assert (spec.endpoint.name, spec.endpoint.autonomy, spec.endpoint.rollout.steps) == ("e", "act", (0.1,))


@pytest.mark.parametrize(
    ("above", "settings", "start"),
    [
        ("seed: 1\nendpoint:\n  autonmy: act\n", (), "prod.yaml:3: endpoint.autonmy: unknown key. Did you mean 'autonomy'?"),
        ("variants:\n  - name: c\n    family: x\n  - {name: b, famly: x}\n", (), "prod.yaml:4: variants.1.famly: unknown key."),
        ("seed: 1\nendpoint: {rollout: {every: soon}}\n", (), "prod.yaml:2: endpoint.rollout.every: 'soon' is not a duration"),
        ("seed: 1\n", ("endpoint.rollout.evry=5m",), "--set: endpoint.rollout.evry: unknown key. Did you mean 'every'?"),
        ("seed: 1\n", ("data.split.folds=many",), "--set: data.split.folds: "),
        ("seed: 1\n", ("variants.aa.family=x",), "--set variants.aa.family: there is no 'aa' in that list. Did you mean 'a'?"),
        ("seed: -1\n", (), "prod.yaml:1: seed: "),
        ("[]", (), "prod.yaml: a project file is a mapping"),
        ("seed: 1\n", ("data.target=1",), "--set: data.target: "),
        ("{}\n", ("variants.a.features=no",), "--set: variants.0.features: "),
        ("{}\n", ("endpoint.champion=x",), "--set: endpoint.champion: there is no variant 'x'."),
    ],
)  # fmt: skip
def test_a_mistake_names_the_file_it_stands_in(
    tmp_path: Path, above: str, settings: tuple[str, ...], start: str
) -> None:
    with pytest.raises(SpecError) as caught:
        merged(tmp_path, above, *settings)
    assert str(caught.value).startswith(start)


def test_a_mistake_in_the_base_still_names_the_base(tmp_path: Path) -> None:
    (tmp_path / "base.yaml").write_text(BASE.replace("target", "tagret"))
    (tmp_path / "prod.yaml").write_text("data: {id: row}\n")
    with pytest.raises(SpecError, match=r"^base.yaml:2: data.tagret: unknown key"):
        load([tmp_path / "base.yaml", tmp_path / "prod.yaml"])
