"""What is written for those who watch."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from rivals.errors import SpecError
from rivals.flows.monitoring import export_monitoring, metrics_of
from tests.flows.conftest import Site

Make = Callable[..., Site]


def exported(made: Site, out: Path, **more: Any) -> dict[str, Any]:
    written = export_monitoring(made.workspace, out, **more)
    texts = {str(path.relative_to(out)): path.read_text() for path in written}
    return {name: json.loads(text) if name.endswith("json") else yaml.safe_load(text) for name, text in texts.items()}


def test_a_project_that_says_nothing_gets_everything(site: Make, tmp_path: Path) -> None:
    found = exported(site(), tmp_path / "out")
    assert set(found) == {
        "prometheus.yml",
        "rules.yml",
        "rules_test.yml",
        "alertmanager.yml",
        "datadog/openmetrics.d/conf.yaml",
        "grafana/rivals-endpoint.json",
        "grafana/rivals-objectives.json",
    }
    assert found["prometheus.yml"]["scrape_configs"] == [
        {"job_name": "rivals", "static_configs": [{"targets": ["127.0.0.1:8080"]}]}
    ]
    assert found["datadog/openmetrics.d/conf.yaml"]["instances"][0]["openmetrics_endpoint"] == (
        "http://127.0.0.1:8080/metrics"
    )


def test_what_is_promised_is_what_is_alerted_on(site: Make, tmp_path: Path) -> None:
    made = site('\nmonitoring: {availability: 99%, latency_ms: 50, alerts: "http://127.0.0.1:1/x"}')
    found = exported(made, tmp_path / "out")
    rules = {one.get("alert") or one["record"]: one["expr"] for g in found["rules.yml"]["groups"] for one in g["rules"]}
    assert "> 0.144" in rules["RivalsAvailabilityBurns"]
    assert 'le="0.05"' in rules["rivals:latency:missed1h"]
    assert f">= {math.log(2 / 0.05):.4f}" in rules["RivalsChallengerHarms"]  # one judge, two ways to be wrong
    assert found["alertmanager.yml"]["receivers"][0]["webhook_configs"][0]["url"] == "http://127.0.0.1:1/x"


def test_a_token_is_named_and_never_written(site: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RIVALS_TOKEN", "s3cret-canary")
    found = exported(site(), tmp_path / "out", secure=True)
    (job,) = found["prometheus.yml"]["scrape_configs"]
    assert job["authorization"] == {"type": "Bearer", "credentials_file": "token"}
    assert job["scheme"] == "https"
    assert "s3cret" not in json.dumps(found)


@pytest.mark.parametrize(
    ("wish", "told"),
    [
        ("latency_ms: 60", "latency_ms is a bound that answers are counted by: 0.5, 1, 2.5"),
        ("availability: 100%", "availability"),
        ("dogstatsd: here", "dogstatsd"),
        ("traces: collector:4318", "traces"),
        ("alert: x", "alerts"),
    ],
)
def test_a_wish_that_cannot_be_is_refused(site: Make, wish: str, told: str) -> None:
    with pytest.raises(SpecError, match=told):
        site(f"\nmonitoring: {{{wish}}}")


@pytest.mark.parametrize(
    ("written", "agent"), [("127.0.0.1:8125", ("127.0.0.1", 8125)), ("[::1]:8125", ("::1", 8125)), ("dd:1", ("dd", 1))]
)
def test_an_agents_address_is_read(site: Make, written: str, agent: tuple[str, int]) -> None:
    assert site(f'\nmonitoring: {{dogstatsd: "{written}"}}').workspace.spec.monitoring.agent == agent


def test_the_control_plane_has_the_figures_in_both_formats(site: Make) -> None:
    made = site()
    raw, kind = metrics_of(made.workspace, "application/openmetrics-text")
    assert kind.startswith("application/openmetrics-text")
    assert raw.endswith(b"# EOF\n")
    assert b'rivals_variant_weight_ratio{endpoint="toy",variant="old"} 1\n' in metrics_of(made.workspace, "*/*")[0]
