"""Pipeline files of a project, in a provider's words. No provider has logic of its own: a job is one verb."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from rivals.errors import SpecError
from rivals.plugins import nearest

TEMPLATES = Path(__file__).with_name("templates")
FILES = {
    "circleci": ".circleci/config.yml",
    "github": ".github/workflows/rivals.yml",
    "gitlab": ".gitlab-ci.yml",
    "jenkins": "Jenkinsfile",
}


def render(provider: str, variants: Sequence[str]) -> tuple[str, str]:
    """The provider's file, where it belongs and what stands in it. Raises ``SpecError`` for a provider unknown here."""
    if provider not in FILES:
        raise SpecError(
            f"No provider is called {provider!r}.{nearest(provider, list(FILES))} There are: {', '.join(FILES)}."
        )
    text = (TEMPLATES / Path(FILES[provider]).name.lstrip(".")).read_text(encoding="utf-8")
    quoted = ", ".join(json.dumps(name) for name in variants)
    return FILES[provider], text.replace("@variants@", quoted).replace("@values@", quoted.replace('"', "'"))
