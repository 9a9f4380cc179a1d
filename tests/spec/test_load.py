"""The project file: read strictly, refused in sentences that point at the line."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rivals.errors import SpecError
from rivals.spec.load import load, parse
from rivals.values import Use

GOOD = """\
project: flights
data:
  source: {use: function, with: {function: "flights:load", months: [1, 2]}}
  task: binary
  target: late
  time: departure
  split: {test: 20%, folds: 3, by: time, gap: 1d}
features:
  plain: [{use: impute, with: {columns: numeric}}, encode]
variants:
  - {name: logistic, features: plain, family: sklearn, with: {estimator: LogisticRegression}}
  - {name: blend, family: ensemble, members: [logistic], with: {combiner: mean}}
  - {name: legacy, model: legacy.skops}
endpoint: {name: flights, champion: legacy, rollout: {steps: [1%, 5%], every: 10m}}
"""


def test_a_good_file_becomes_a_frozen_spec() -> None:
    spec = parse(GOOD.encode())
    assert spec.data.source == Use("function", {"function": "flights:load", "months": [1, 2]})
    assert spec.data.split.test == 0.2
    assert spec.data.split.gap == 86400
    assert spec.features["plain"][1] == Use("encode")
    assert [variant.kind for variant in spec.variants] == ["train", "ensemble", "ready"]
    assert spec.endpoint is not None
    assert spec.endpoint.rollout.steps == (0.01, 0.05)
    assert spec.endpoint.rollout.every == 600
    assert spec.measures[0] == "log_loss"
    assert parse((GOOD + "limits: {seconds: 2m}\n").encode()).limits.seconds == 120
    with pytest.raises(ValueError, match="frozen"):
        spec.project = "other"  # type: ignore[misc]


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ("target:", "tagret:", "rivals.yaml:5: data.tagret: unknown key. Did you mean 'target'?"),
        ("target: late\n  ", "", "rivals.yaml:2: data: the key 'target' is missing."),
        ("binary", "binry", "rivals.yaml:4: data.task: 'binry' is none of binary, multiclass, regression, ranking, custom. Did you mean 'binary'?"),
        ("10m", "10x", "endpoint.rollout.every: '10x' is not a duration; write a number and a unit, as 30s, 10m, 6h or 14d."),
        ("20%", "20 percent", "data.split.test: '20 percent' is not a share; write a percentage as 5% or a number as 0.05."),
        ("[logistic]", "[logistics]", "rivals.yaml:12: variants.1.members.0: there is no variant 'logistics'. Did you mean 'logistic'?"),
        ("[logistic]", "[blend]", "members go in a circle: blend -> blend."),
        ("features: plain,", "features: plan,", "there is no feature set 'plan'. Did you mean 'plain'?"),
        ("champion: legacy", "champion: legcy", "endpoint.champion: there is no variant 'legcy'. Did you mean 'legacy'?"),
        ("name: blend", "name: logistic", "'logistic' is the name of variant 0 already."),
        ("name: blend", "name: 'a b'", "'a b' is no name; use up to 64 letters"),
        ("[1%, 5%]", "[5%, 1%]", "steps rise from above 0% to below 100%"),
        ("[1%, 5%]", "[1%, 100%]", "steps rise from above 0% to below 100%"),
        ("gap: 1d", "gap: -1", "data.split.gap: input should be greater than or equal to 0, not -1."),
        ("gap: 1d", "gap: .nan", "data.split.gap: input should be greater than or equal to 0, not nan."),
        ("task: binary", "task: binary\n  task: binary", "rivals.yaml:5: data.task: stands here twice; remove one."),
        ("  time: departure\n", "", "split by time needs the key 'time'"),
        ("data:", "data: [", "not YAML"),
        ("features:", "exploration: 1\nfeatures:", "exploration: exploration is not part of this version yet"),
        ("model: legacy.skops", "model: legacy.skops, family: sklearn", "takes no family, features or members"),
        ("family: ensemble, ", "", "say 'family' for a variant to train"),
        ("members: [logistic], ", "", "an ensemble has 'family: ensemble' and 'members'"),
        ("{columns: numeric}}", "{columns: numeric}, wiht: 1}", "a plug-in has the keys use and with, not wiht"),
    ],
)  # fmt: skip
def test_a_mistake_is_one_sentence_with_file_line_and_key(old: str, new: str, sentence: str) -> None:
    assert old in GOOD
    with pytest.raises(SpecError) as caught:
        parse(GOOD.replace(old, new, 1).encode())
    message = str(caught.value)
    assert sentence in message
    assert message.startswith("rivals.yaml")
    assert "\n" not in message


def test_settings_lie_on_top_of_the_file() -> None:
    spec = parse(
        GOOD.encode(),
        overlay=["data.split.folds=5", "variants.legacy.model=other.skops", "endpoint.rollout.risk.alpha=0.1"],
    )
    assert spec.data.split.folds == 5
    assert spec.variant("legacy").model == "other.skops"
    assert spec.endpoint is not None
    assert spec.endpoint.rollout.risk.alpha == 0.1


@pytest.mark.parametrize("setting", ["nothing", "=1", "variants.nobody.model=x", "project.x=1", "data.split.fodls=2"])
def test_a_wrong_setting_is_refused(setting: str) -> None:
    with pytest.raises(SpecError):
        parse(GOOD.encode(), overlay=[setting])


def test_a_missing_file_says_how_to_mend_it(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="there is no project file here"):
        load(tmp_path / "rivals.yaml")


@settings(max_examples=150, deadline=None)
@given(st.one_of(st.binary(max_size=200), st.text(max_size=200).map(str.encode)))
def test_no_bytes_at_all_cause_anything_but_a_sentence(raw: bytes) -> None:
    with pytest.raises(SpecError):
        parse(raw)


@settings(max_examples=150, deadline=None)
@given(st.integers(0, len(GOOD)), st.sampled_from("{}[]:,-'\"#&*!|>%@`\n\t x"))
def test_one_wrong_character_is_accepted_or_refused_in_a_sentence(position: int, character: str) -> None:
    try:
        parse((GOOD[:position] + character + GOOD[position:]).encode())
    except SpecError as error:
        assert str(error).startswith("rivals.yaml")


@pytest.mark.parametrize(("said", "share"), [("all", 1.0), ("none", 0.0), ("5%", 0.05), ("0.25", 0.25), ("1", 1.0)])
def test_capture_is_all_none_or_a_share(said: str, share: float) -> None:
    endpoint = f"endpoint: {{name: e, capture: {{features: {said}, keep: 7d, redact: [name]}}}}\n"
    spec = parse((GOOD.partition("endpoint:")[0] + endpoint).encode()).endpoint
    assert spec
    assert spec.capture
    assert (spec.capture.features, spec.capture.keep, spec.capture.redact) == (share, 7 * 86400, ("name",))


@pytest.mark.parametrize(
    "endpoint",
    ["capture: {features: some}", "capture: {keep: 5m}", "capture: {share: 1}", "feedback: {rating: [5, 1]}",
     "feedback: {rating: [1]}", "feedback: {rating: [1, .inf]}", "feedback: {sign: true}"],
)  # fmt: skip
def test_what_capture_and_feedback_do_not_mean_is_refused(endpoint: str) -> None:
    with pytest.raises(SpecError):
        parse((GOOD.partition("endpoint:")[0] + f"endpoint: {{name: e, {endpoint}}}\n").encode())
