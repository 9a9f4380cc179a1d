"""Configuration of Prometheus and Alertmanager: whom to ask, what to evaluate, whom to tell."""

from __future__ import annotations

from typing import Any

EVERY = "15s"


def prometheus(target: str, alertmanager: str, *, secure: bool = False, token: bool = False) -> dict[str, Any]:
    """``prometheus.yml``. One target knows all workers; ``token``: with one from the file ``token``."""
    job: dict[str, Any] = {"job_name": "rivals", "static_configs": [{"targets": [target]}]}
    if secure:
        job["scheme"] = "https"
    if token:
        job["authorization"] = {"type": "Bearer", "credentials_file": "token"}
    return {
        "global": {"scrape_interval": EVERY, "evaluation_interval": EVERY},
        "rule_files": ["rules.yml"],
        "alerting": {"alertmanagers": [{"static_configs": [{"targets": [alertmanager]}]}]},
        "scrape_configs": [job],
    }


def alertmanager(url: str | None) -> dict[str, Any]:
    """``alertmanager.yml``: pages at once, tickets a few together; both to ``url``, to nobody where there is none.

    While an objective pages, its ticket is kept back.
    """
    hooks = {"webhook_configs": [{"url": url, "send_resolved": True}]} if url else {}
    return {
        "route": {
            "receiver": "tickets",
            "group_by": ["alertname", "endpoint"],
            "group_wait": "1m",
            "group_interval": "30m",
            "repeat_interval": "1d",
            "routes": [
                {
                    "receiver": "pages",
                    "matchers": ['severity="page"'],
                    "group_wait": "10s",
                    "group_interval": "1m",
                    "repeat_interval": "1h",
                }
            ],
        },
        "inhibit_rules": [
            {
                "source_matchers": ['severity="page"'],
                "target_matchers": ['severity="ticket"', 'objective!=""'],
                "equal": ["endpoint", "objective"],
            }
        ],
        "receivers": [{"name": "pages", **hooks}, {"name": "tickets", **hooks}],
    }
