"""A matrix: every combination once, under a name of its own that other values do not change."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rivals.errors import SpecError
from rivals.spec.load import parse
from rivals.spec.project import ProjectSpec

HEAD = """\
project: p
data:
  source: {use: csv, with: {path: a.csv}}
  sets: {winter: {use: csv, with: {path: b.csv}}}
  task: binary
  target: y
features: {plain: [impute], scaled: [scale]}
variants:
"""


def variants(*entries: str) -> ProjectSpec:
    return parse((HEAD + "".join(f"  - {entry}\n" for entry in entries)).encode())


def test_every_combination_becomes_a_variant_with_a_readable_name() -> None:
    spec = variants(
        "{name: m, family: sklearn, with: {estimator: E}, matrix: {data: [main, winter], features: [plain, scaled], with: {C: [0.1, 1]}}}"
    )
    assert [one.name for one in spec.variants] == [
        "m-main-plain-C.0.1", "m-main-plain-C.1", "m-main-scaled-C.0.1", "m-main-scaled-C.1",
        "m-winter-plain-C.0.1", "m-winter-plain-C.1", "m-winter-scaled-C.0.1", "m-winter-scaled-C.1",
    ]  # fmt: skip
    last = spec.variants[-1]
    assert (last.data, last.features, dict(last.with_)) == ("winter", "scaled", {"estimator": "E", "C": 1})


def test_exclude_takes_away_and_include_adds() -> None:
    spec = variants(
        "{name: m, family: sklearn, matrix: {features: [plain, scaled], with: {C: [1, 2]}, "
        "exclude: [{features: plain}, {with: {C: 2}}], include: [{features: plain, with: {C: 9, tol: 0.1}}]}}"
    )
    assert [one.name for one in spec.variants] == ["m-scaled-C.1", "m-plain-C.9-tol.0.1"]


def test_an_ensemble_that_names_a_matrix_asks_all_of_its_variants() -> None:
    spec = variants(
        "{name: m, family: sklearn, matrix: {with: {C: [1, 2]}}}", "{name: all, family: ensemble, members: [m]}"
    )
    assert spec.variant("all").members == ("m-C.1", "m-C.2")


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.one_of(
            st.integers(-9, 9), st.text(st.characters(max_codepoint=0x2FF), max_size=80), st.booleans(), st.none()
        ),
        min_size=2,
        max_size=5,
        unique_by=repr,
    )
)
def test_names_are_unique_and_do_not_depend_on_the_other_values(values: list[object]) -> None:
    import json

    listed = list(dict.fromkeys(json.dumps(value) for value in values))

    def names(texts: list[str]) -> list[str]:
        entry = f"{{name: m, family: sklearn, matrix: {{with: {{a: [{', '.join(texts)}]}}}}}}"
        return [one.name for one in variants(entry).variants]

    found = names(listed)
    assert len(set(found)) == len(found)
    assert names(listed[1:]) == found[1:]


@pytest.mark.parametrize(
    ("matrix", "sentence"),
    [
        ("{feature: [plain]}", "rivals.yaml:9: variants.0.matrix.feature: unknown key; a model's options stand under with. Did you mean 'features'?"),
        ("{features: plain}", 'a matrix crosses lists; write ["plain"].'),
        ("{features: []}", "a matrix crosses lists"),
        ("{with: [1]}", "under with stand options and their lists"),
        ("{features: [plain, sacled]}", "variants.1.features: there is no feature set 'sacled'. Did you mean 'scaled'?"),
        ("{data: [sommer]}", "there is no data set 'sommer'. Known: main, winter."),
        ("{with: {C: [1]}, exclude: [{with: {C: 2}}]}", "variants.0.matrix.exclude.0: none of the combinations has these values"),
        ("{with: {C: [1]}, exclude: [{with: {C: 1}}]}", "nothing is left"),
        ("{with: {C: [1]}, exclude: [{C: 1}]}", "variants.0.matrix.exclude.0.C: unknown key."),
        (f"{{with: {{a: {list(range(40))}, b: {list(range(40))}}}}}", "1600 variants are more than the 1000"),
        ("[]", "a matrix has lists under"),
        ("{with: {C: [1, 1]}}", "'m-C.1' is the name of variant 0 already"),
    ],
)  # fmt: skip
def test_a_matrix_that_means_nothing_is_refused_in_a_sentence(matrix: str, sentence: str) -> None:
    with pytest.raises(SpecError) as caught:
        variants(f"{{name: m, family: sklearn, matrix: {matrix}}}")
    assert sentence in str(caught.value)
    assert str(caught.value).startswith("rivals.yaml:9")


def test_members_of_one_ensemble_share_a_data_set() -> None:
    with pytest.raises(
        SpecError, match=r"variants.2.members.1: 'b' is made from the data set 'winter' and 'a' from 'main'"
    ):
        variants(
            "{name: a, family: f}", "{name: b, family: f, data: winter}", "{name: e, family: ensemble, members: [a, b]}"
        )
