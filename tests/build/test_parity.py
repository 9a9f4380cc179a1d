import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rivals.build.parity import compare
from tests.mixed import signature

SURE = np.array([[0.9, 0.1], [0.2, 0.8]])


@pytest.mark.parametrize(
    ("task", "expected", "got", "exact"),
    [
        ("binary", SURE, SURE + 9e-6, True),
        ("binary", SURE, SURE + 1.1e-5, False),
        ("binary", [[0.5 - 4e-6, 0.5 + 4e-6]], [[0.5 + 1e-6, 0.5 - 1e-6]], True),  # too close to call
        ("binary", SURE, SURE[:, :1], False),
        ("binary", SURE, np.full((2, 2), np.nan), False),
        ("multiclass", [[0.4, 0.4 + 2e-5, 0.2]], [[0.4 + 9e-6, 0.4 + 9e-6, 0.2]], False),
        ("regression", [[100.0], [1e-9]], [[100.0009], [1e-9]], True),
        ("regression", [[100.0], [1e-9]], [[100.002], [1e-9]], False),
        ("regression", [[100.0], [0.0]], [[100.0], [1e-4]], True),  # beside values of fifty
        ("regression", [[0.0]], [[1e-4]], False),
    ],
)
def test_parity_is_a_hundred_thousandth_and_the_same_label(task, expected, got, exact):
    _, reason = compare(signature(task), np.array(expected), np.array(got))
    assert (not reason) is exact


@given(st.lists(st.floats(0, 1), min_size=1, max_size=20))
def test_a_runtime_is_exact_to_itself(chances):
    both = np.array([[1 - p, p] for p in chances])
    assert compare(signature("binary"), both, both.copy()) == (0.0, "")


def test_the_reason_counts_rows_and_flips():
    _, reason = compare(signature("binary"), SURE, SURE[:, ::-1])
    assert reason == "2 of 2 rows differ from the pipeline, by up to 0.8; 2 labels flip"
