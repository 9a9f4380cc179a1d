"""A Markdown report as one comment on the merge request, renewed by each pipeline of it.

GitLab: notes (docs.gitlab.com/api/notes). GitHub: issue comments (docs.github.com/rest/issues/comments).
"""

from __future__ import annotations

import json
import re
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from rivals.errors import RivalsError

MARK = "<!-- rivals -->"  # by which the comment of an earlier pipeline is found
TIMEOUT = 30.0  # seconds


@dataclass(frozen=True, slots=True)
class Place:
    """Where the comments of a merge request are listed, how one is changed there, and who we are."""

    comments: str
    one: str
    method: str
    headers: Mapping[str, str]


def place_of(env: Mapping[str, str]) -> Place | None:
    """The merge request this pipeline runs for, as its provider's variables say; None: it runs for none."""
    if env.get("CI_MERGE_REQUEST_IID"):
        token = _needed(env, "RIVALS_CI_TOKEN", "a project access token with the scope api")
        notes = (
            f"{env['CI_API_V4_URL']}/projects/{env['CI_PROJECT_ID']}/merge_requests/{env['CI_MERGE_REQUEST_IID']}/notes"
        )
        return Place(notes, f"{notes}/{{id}}", "PUT", {"PRIVATE-TOKEN": token})
    if found := re.fullmatch(r"refs/pull/(\d+)/(merge|head)", env.get("GITHUB_REF", "")):
        token = _needed(env, "GITHUB_TOKEN", "${{ github.token }}")
        issues = f"{env['GITHUB_API_URL']}/repos/{env['GITHUB_REPOSITORY']}/issues"
        headers = {"Authorization": f"Bearer {token}", "Accept": "application/vnd.github+json"}
        return Place(f"{issues}/{found[1]}/comments", f"{issues}/comments/{{id}}", "PATCH", headers)
    return None


def comment(place: Place, markdown: str) -> str:
    """Write the comment, or renew the one that is there; "written" or "renewed". Raises ``RivalsError``."""
    body = {"body": f"{MARK}\n{markdown}"}
    before = [one for one in _call("GET", f"{place.comments}?per_page=100", place) if MARK in str(one.get("body"))]
    if before:
        _call(place.method, place.one.format(id=int(before[0]["id"])), place, body)
        return "renewed"
    _call("POST", place.comments, place, body)
    return "written"


def _needed(env: Mapping[str, str], name: str, what: str) -> str:
    if not env.get(name):
        raise RivalsError(f"The comment needs {name}: {what}.")
    return env[name]


def _call(method: str, url: str, place: Place, body: Any = None) -> Any:
    if not url.startswith(("https://", "http://")):
        raise RivalsError(f"{url!r} is no address of an API.")
    raw = None if body is None else json.dumps(body).encode()
    headers = {**place.headers, "Content-Type": "application/json"}
    try:
        request = urllib.request.Request(url, raw, headers, method=method)  # noqa: S310 -- checked above
        with urllib.request.urlopen(request, timeout=TIMEOUT) as reply:  # noqa: S310 -- checked above
            return json.load(reply)
    except urllib.error.HTTPError as error:
        raise RivalsError(f"The comment was not taken: {error.code} from {url}.") from error
    except (OSError, ValueError) as error:
        raise RivalsError(f"The comment could not be sent to {url}: {error}.") from error
