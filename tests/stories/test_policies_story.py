"""Rules of the project file on their way to a client's answer."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from .conftest import Server, a_row, infer, rivals, wait_until

PLAIN = "  champion: weak\n"
RULES = """  champion: weak
  policy:
    use: match
    with:
      rules:
        - {when: {header: X-Tier, is: gold}, to: boosted}
        - {when: {column: desk, is: 7}, to: blend}
"""
INFER = "/v2/models/toy/infer"


def write(project: Path, rules: str) -> None:
    file = project / "rivals.yaml"
    assert PLAIN in file.read_text()
    file.write_text(file.read_text().replace(PLAIN, rules))


def test_a_rules_variant_answers_whom_it_names_and_history_says_why(
    project: Path, serve: Callable[..., Server]
) -> None:
    write(project, RULES)
    server = serve(project, workers=1)

    def variant(body: dict[str, object], **headers: str) -> str:
        status, told, _ = server.request("POST", INFER, body, **headers)
        assert status == 200
        return told["x-rivals-variant"]

    row = infer(a_row())
    assert variant(row, X_Request_Id="plain") == "weak"
    assert variant(row, X_Tier="gold", X_Request_Id="ruled") == "boosted"
    assert variant(row, X_Tier="silver") == "weak"
    assert variant(infer({**a_row(), "desk": 7.0})) == "blend"
    assert variant(row, X_Tier="gold", X_Rivals_Variant="blend") == "blend"
    listed = server.get("/v2/models/toy")[1]["versions"]
    assert set(listed) == {"weak", "boosted", "blend"}
    wait_until(lambda: (server.api("/api/status") or {}).get("counts", {}).get("boosted"), 20, server.log)
    rules = {name: json.loads(rivals("explain", name, "--json", cwd=project).stdout) for name in ("plain", "ruled")}
    assert rules["plain"]["table"]["rule"] == "by slot"
    assert rules["ruled"]["table"]["rule"] == "by a rule of the policy match"


def test_a_rule_for_nobody_is_refused_before_anything_is_served(project: Path) -> None:
    write(project, RULES.replace("to: boosted", "to: bosted"))
    done = rivals("serve", "--port", "0", cwd=project)
    assert done.returncode == 2
    assert "endpoint.policy: there is no variant 'bosted'. Did you mean 'boosted'?" in done.stderr
    assert not list(project.glob(".rivals/run/table.json"))
