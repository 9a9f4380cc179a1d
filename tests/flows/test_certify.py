"""The certificate, reduced: 200 rollouts a cell, all cells, and some of them through the evidence and the judge."""

from __future__ import annotations

import numpy as np
import pytest
from typer.testing import CliRunner

from rivals.app.cli import app
from rivals.decide.certificate import Segment, Traffic, cells
from rivals.flows.certify import certify, retrace


def test_evidence_and_judge_see_what_the_certificate_sees() -> None:
    """In every kind of traffic, at every failure of 1,500 requests or more."""
    for number, traffic in enumerate(cells()):
        looks, other = retrace(traffic, 1_500, np.random.default_rng(number))
        assert other == 0, traffic.name
        assert looks > 0 or traffic.segments[0].base < 0.002


def test_a_ramp_is_seen_alike_through_all_its_steps() -> None:
    ramp = Traffic("", 2.0, [Segment(300, 0.1, share) for share in (0.01, 0.05, 0.25, 0.5)])
    looks, other = retrace(ramp, 6_000, np.random.default_rng(1))
    assert (looks > 600, other) == (True, 0)


@pytest.mark.slow
def test_the_reduced_certificate_is_within_its_bounds() -> None:
    """V2 to V6: bounds allow for the noise of 200 rollouts (8.6 % for 5 %, 73 % for 80 %)."""
    found = certify(quick=True)
    assert len(found.cells) == 26
    assert not found.faults
    told = CliRunner().invoke(app, ["certify", "--help"])
    assert told.exit_code == 0
