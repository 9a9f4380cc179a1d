from __future__ import annotations

import pytest

from rivals.build.sources.function import Function
from rivals.errors import DataError, RivalsError, SpecError
from rivals.plugins import make
from rivals.protocols import Source
from rivals.values import Use
from tests.build.toy import HERE


def test_options_go_to_the_function() -> None:
    source = make(Source, Use("function", {"function": f"{HERE}:load", "rows": 20}))
    assert len(source.read()) == 20


def test_the_digest_is_that_of_the_rows() -> None:
    same = [Function(f"{HERE}:load", rows=20).digest() for _ in range(2)]
    assert same[0] == same[1] != Function(f"{HERE}:load", rows=20, seed=1).digest()


def test_what_a_reader_changes_is_not_read_by_the_next() -> None:
    source = Function(f"{HERE}:load", rows=20)
    mine = source.read()
    mine["a"] = 0.0
    assert source.read()["a"].std() > 0


@pytest.mark.parametrize(
    ("function", "error", "says"),
    [
        ("nowhere:load", SpecError, "no module 'nowhere'"),
        (f"{HERE}:laod", SpecError, "no 'laod'. Did you mean 'load'"),
        (f"{HERE}:NOT_CALLABLE", SpecError, "is no function but a int"),
        ("load", SpecError, "write module:function"),
        (f"{HERE}:no_frame", DataError, "returned a list"),
    ],
)
def test_mistakes_are_sentences(function: str, error: type[RivalsError], says: str) -> None:
    with pytest.raises(error) as caught:
        Function(function).read()
    assert says in str(caught.value)
