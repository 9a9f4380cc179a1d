"""What `rivals ci init` writes is valid in its provider's own eyes, and has no logic but verbs of ours."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
import yaml

from rivals.ci.workflows import FILES, render
from rivals.errors import SpecError
from tests.parts import ci_part

VARIANTS = ["legacy", "boosted", "a-b.c"]


def written(folder: Path, provider: str) -> Path:
    name, text = render(provider, VARIANTS)
    file = folder / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    return file


def ran(*words: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(word) for word in words], cwd=cwd, capture_output=True, text=True, timeout=100, check=False
    )


@pytest.mark.parametrize(
    ("provider", "schema"),
    [
        ("gitlab", ["vendor.gitlab-ci", "--data-transform", "gitlab-ci"]),
        ("github", ["vendor.github-workflows"]),
        ("circleci", ["vendor.circle-ci"]),
    ],
)
def test_the_file_fits_its_providers_schema(provider: str, schema: list[str], tmp_path: Path) -> None:
    file = written(tmp_path, provider)
    done = ran(ci_part("check-jsonschema"), "--builtin-schema", *schema, file, cwd=tmp_path)
    assert done.returncode == 0, done.stdout


def test_nothing_is_found_by_zizmor(tmp_path: Path) -> None:
    written(tmp_path, "github")
    done = ran(ci_part("zizmor"), "--offline", ".", cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "No findings" in done.stdout + done.stderr


def test_the_jenkinsfile_parses(tmp_path: Path) -> None:
    file = written(tmp_path, "jenkins")
    lint = ci_part("npm-groovy-lint")
    words = ("--noserver", "--failon", "error", "--files", "Jenkinsfile")
    done = ran(lint, *words, cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    file.write_text(file.read_text().replace("stages {", "stages {{", 1))
    assert ran(lint, *words, cwd=tmp_path).returncode == 1


@pytest.mark.parametrize("provider", sorted(FILES))
def test_every_job_is_one_verb(provider: str) -> None:
    _, text = render(provider, VARIANTS)
    verbs = re.findall(
        r"rivals (?:ci (?!init)\w+|doctor)", "\n".join(x for x in text.splitlines() if "Written by" not in x)
    )
    wanted = [
        "doctor",
        *(
            f"ci {one}"
            for one in ["data", "plan", "train", "gate", "report", "image", "smoke", "canary", "watch", "rollback"]
        ),
    ]
    assert set(verbs) == {f"rivals {one}" for one in wanted}
    assert "&&" not in "".join(line for line in text.splitlines() if "rivals" in line and "if:" not in line)


def test_all_variants_stand_in_the_matrix() -> None:
    train = yaml.safe_load(render("gitlab", VARIANTS)[1])["train"]
    assert train["parallel"]["matrix"] == [{"VARIANT": VARIANTS}]
    assert "values 'legacy', 'boosted', 'a-b.c'" in render("jenkins", VARIANTS)[1]


def test_a_provider_that_is_not_known_is_named_with_those_that_are() -> None:
    with pytest.raises(SpecError, match=r"gitlba.*gitlab"):
        render("gitlba", [])
