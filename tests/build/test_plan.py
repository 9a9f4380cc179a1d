from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from rivals.build.plan import Plan, causes, plan
from rivals.errors import SpecError
from rivals.spec.project import ProjectSpec

DATA = {"y": "1", "a": "2", "b": "3"}
LOGISTIC = {"name": "logistic", "features": "all", "family": "sklearn", "with": {"estimator": "LogisticRegression"}}
BOOSTED = {"name": "boosted", "features": "all", "family": "lightgbm"}
BLEND = {"name": "blend", "family": "ensemble", "members": ["logistic", "boosted"]}
TOWER = {"name": "tower", "family": "ensemble", "members": ["blend", "logistic"]}


def spec(*variants: dict[str, Any], **keys: Any) -> ProjectSpec:
    return ProjectSpec.model_validate(
        {
            "project": "toy",
            "data": {"source": "function", "task": "binary", "target": "y"},
            "features": {"all": ["impute", "encode"]},
            "variants": list(variants or (TOWER, BLEND, LOGISTIC, BOOSTED)),
            **keys,
        }
    )


def test_members_come_before_the_ensembles_that_ask_them() -> None:
    found = plan(spec(), DATA, ())
    assert found.waves == (("logistic", "boosted"), ("blend",), ("tower",))
    assert found.kept == ()
    assert len(set(found.wishes.values())) == 4


def test_what_is_built_already_is_kept() -> None:
    first = plan(spec(), DATA, ())
    again = plan(spec(), DATA, set(first.wishes.values()))
    assert again == Plan((), ("tower", "blend", "logistic", "boosted"), first.wishes, first.asked)
    part = plan(spec(), DATA, {first.wishes["logistic"], first.wishes["boosted"]})
    assert part.waves == (("blend",), ("tower",))


def test_only_some_are_planned_with_their_members() -> None:
    found = plan(spec(), DATA, (), only=("blend",))
    assert found.waves == (("logistic", "boosted"), ("blend",))
    assert "tower" not in found.wishes


@pytest.mark.parametrize(
    ("other", "changed"),
    [
        (spec(TOWER, BLEND, {**LOGISTIC, "with": {"estimator": "Other"}}, BOOSTED), {"logistic", "blend", "tower"}),
        (spec(TOWER, BLEND, LOGISTIC, {**BOOSTED, "with": {"n_estimators": 3}}), {"boosted", "blend", "tower"}),
        (spec(TOWER, {**BLEND, "members": ["boosted", "logistic"]}, LOGISTIC, BOOSTED), {"blend", "tower"}),
        (spec(seed=1), {"logistic", "boosted", "blend", "tower"}),
        (spec(features={"all": ["encode"]}), {"logistic", "boosted", "blend", "tower"}),
        (spec(features={"all": ["impute", "encode"], "unused": []}), set()),
        (spec(tracking={"uri": "http://elsewhere"}), set()),
    ],
)  # fmt: skip
def test_a_change_asks_for_its_dependants_and_for_nobody_else(other: ProjectSpec, changed: set[str]) -> None:
    before, after = plan(spec(), DATA, ()).wishes, plan(other, DATA, ()).wishes
    assert {name for name in before if before[name] != after[name]} == changed


def test_other_rows_ask_for_everything() -> None:
    before, after = plan(spec(), DATA, ()).wishes, plan(spec(), {**DATA, "y": "e"}, ()).wishes
    assert all(before[name] != after[name] for name in before)


def test_a_column_asks_for_those_who_take_it_and_an_unused_one_for_nobody() -> None:
    wish = spec({**LOGISTIC, "columns": ["a"]}, {**BOOSTED, "columns": ["a", "b"]}, BLEND)
    before = plan(wish, DATA, ()).wishes
    assert plan(wish, {**DATA, "new": "9"}, ()).wishes == before
    after = plan(wish, {**DATA, "b": "9"}, ()).wishes
    assert {name for name in before if before[name] != after[name]} == {"boosted", "blend"}


def test_causes_are_told_by_their_name() -> None:
    before, after = plan(spec(), DATA, ()).asked, plan(spec(seed=1), {"y": "1", "a": "9", "c": "3"}, ()).asked
    assert causes(before["logistic"], after["logistic"]) == [
        "column a changed", "column b is gone", "column c is new", "seed was 0, is 1",
    ]  # fmt: skip
    assert causes(before["blend"], after["blend"]) == [
        "member boosted changed", "member logistic changed", "seed was 0, is 1",
    ]  # fmt: skip


def test_other_code_of_the_users_asks_for_who_names_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    module = tmp_path / "own_code_of_a_plan.py"
    module.write_text("def step(rows):\n    return rows\n")
    step = {"use": "function", "with": {"function": "own_code_of_a_plan:step"}}
    wish = spec({**LOGISTIC, "features": "own"}, BOOSTED, features={"own": [step], "all": []})
    before = plan(wish, DATA, ()).wishes
    module.write_text("def step(rows):\n    return -rows\n")
    after = plan(wish, DATA, ()).wishes
    assert before["logistic"] != after["logistic"]
    assert before["boosted"] == after["boosted"]


def test_another_model_file_is_another_wish(tmp_path: Path) -> None:
    file = tmp_path / "m.skops"
    file.write_bytes(b"1")
    ready = spec({"name": "legacy", "model": str(file)})
    before = plan(ready, DATA, ()).wishes["legacy"]
    assert plan(ready, DATA, ()).wishes["legacy"] == before
    file.write_bytes(b"2")
    assert plan(ready, DATA, ()).wishes["legacy"] != before


def test_a_model_from_elsewhere_is_named_by_what_was_fetched(tmp_path: Path) -> None:
    ready = spec({"name": "legacy", "model": "models:/delays@production"})
    (tmp_path / "MLmodel").write_text("a")
    before = plan(ready, DATA, (), models={"legacy": str(tmp_path)}).wishes
    (tmp_path / "MLmodel").write_text("b")
    assert plan(ready, DATA, (), models={"legacy": str(tmp_path)}).wishes != before


def test_the_same_model_under_two_names_is_two_wishes() -> None:
    found = plan(spec({"name": "legacy", "model": "toy:legacy"}, {"name": "twin", "model": "toy:legacy"}), DATA, ())
    assert found.wishes["legacy"] != found.wishes["twin"]


@pytest.mark.parametrize(
    ("variants", "only", "says"),
    [
        ((LOGISTIC,), ("logistc",), "no variant 'logistc'. Did you mean 'logistic'"),
        (({**BLEND, "members": ["logistik"]}, LOGISTIC), (), "member 'logistik' that is no variant"),
        (({**BLEND, "members": ["tower"]}, {**TOWER, "members": ["blend"]}), (), "Members go in a circle"),
    ],
)
def test_mistakes_are_sentences(variants: tuple[Any, ...], only: tuple[str, ...], says: str) -> None:
    with pytest.raises(SpecError) as caught:
        plan(spec(*variants), DATA, (), only)
    assert says in str(caught.value)
