"""Files for those who watch: Prometheus, Alertmanager, Grafana, Datadog; each made from the one table of metrics."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml

from rivals.decide.proof import Budget
from rivals.flows.gauges import promise
from rivals.flows.judges import among
from rivals.flows.workspace import Workspace
from rivals.observe.monitoring import datadog, grafana, prometheus
from rivals.observe.monitoring.proofs import proofs
from rivals.observe.monitoring.rules import rules
from rivals.serve.exposition import OPENMETRICS, TEXT, exposition, wants_openmetrics

HEAD = "# Written by `rivals export monitoring`; write it again rather than change it.\n"


def export_monitoring(
    workspace: Workspace,
    out: Path,
    *,
    target: str = "127.0.0.1:8080",
    alertmanager: str = "127.0.0.1:9093",
    secure: bool = False,
) -> list[Path]:
    """Write them to a folder; returns which. ``target`` is where the endpoint answers, ``secure``: by TLS."""
    wish = workspace.endpoint.rollout
    harm = Budget("monitoring", wish.risk.alpha, max(1, among(workspace)), ways=2).against
    promised = replace(promise(workspace), harm=harm)
    token = bool(os.environ.get("RIVALS_TOKEN"))
    documents: dict[str, Any] = {
        "prometheus.yml": prometheus.prometheus(target, alertmanager, secure=secure, token=token),
        "rules.yml": rules(promised),
        "rules_test.yml": proofs("rules.yml", promised),
        "alertmanager.yml": prometheus.alertmanager(workspace.spec.monitoring.alerts),
        "datadog/openmetrics.d/conf.yaml": datadog.check(f"{'https' if secure else 'http'}://{target}/metrics"),
    }
    texts = {name: HEAD + yaml.safe_dump(one, sort_keys=False, width=200) for name, one in documents.items()}
    boards = grafana.dashboards(promised)
    texts |= {f"grafana/{name}": json.dumps(board, indent=1) + "\n" for name, board in boards.items()}
    written = []
    for name, text in texts.items():
        path = out / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        written.append(path)
    return written


def metrics_of(workspace: Workspace, accept: str) -> tuple[bytes, str]:
    """All figures of the endpoint, and their media type, as the header ``Accept`` has it."""
    better = wants_openmetrics(accept.encode())
    raw = exposition(workspace.run_dir, workspace.store.table(workspace.endpoint.name), openmetrics=better)
    return raw, (OPENMETRICS if better else TEXT).decode()
