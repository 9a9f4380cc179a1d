"""Images: one for the router, one a variant with exactly its own dependencies; and Compose, which runs them here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rivals.infra.manifests import CONTROL, HTTP, USER, Manifest, file, slug
from rivals.infra.reading import one
from rivals.placement import Climb, Deployment, Piece, Scale

NOTES = "x-rivals"  # an extension of the Compose specification: what its own words cannot carry
BASE = (  # of python:3.11-slim, by digest: a tag moves
    "docker.io/library/python:3.11-slim@sha256:9c900dea9e8fb7e16277c179b555cc72d29a352dbc33cff48ad5a0412fd5bfc7"
)
READY = "import urllib.request as u; u.urlopen('http://127.0.0.1:8080/v2/health/ready', timeout=2)"


class Docker:
    """Dockerfiles, and a file by which ``docker compose build`` makes all images. ``base`` is what they stand on."""

    name = "docker"

    def __init__(self, base: str = BASE) -> None:
        self.base = base

    def render(self, deployment: Deployment) -> Mapping[str, str]:
        """Files by path; ``rivals deploy`` lays bundles, requirements and rivals' wheel beside them."""
        files = {
            "router/Dockerfile": self._dockerfile("router", f"COPY --chown={USER}:{USER} router/project/ /project/")
        }
        for piece in deployment.pieces:
            folder = place(piece)
            files[f"{folder}/Dockerfile"] = self._dockerfile(folder, f"COPY {folder}/bundles/ /bundle/")
        return files | {"compose.yaml": file([self._compose(deployment)])}

    def read(self, documents: Sequence[Mapping[str, Any]]) -> Deployment:
        """The deployment that such files describe. Raises ``SpecError`` where the notes of rivals are missing."""
        notes = one([{**doc, "kind": NOTES} for doc in documents if NOTES in doc], NOTES, "what rivals notes")[NOTES]
        pieces = [_piece(dict(told)) for told in notes["pieces"]]
        climb = Climb(tuple(notes["climb"]["steps"]), notes["climb"]["every"])
        return Deployment(notes["endpoint"], notes["champion"], tuple(pieces), _piece(dict(notes["router"])), climb)

    def apply(self, folder: Path) -> Sequence[Sequence[str]]:
        """All images, by whatever builds for Compose."""
        return [["docker", "compose", "-f", str(folder / "compose.yaml"), "build"]]

    def _compose(self, deployment: Deployment) -> Manifest:
        built = {"router": deployment.router} | {place(piece): piece for piece in deployment.pieces}
        services = {
            name: {"image": piece.image or f"localhost/{slug(deployment.name, name)}", "build": _build(name)}
            for name, piece in built.items()
        }
        notes = {
            "target": self.name,
            "endpoint": deployment.name,
            "champion": deployment.champion,
            "climb": {"steps": list(deployment.climb.steps), "every": deployment.climb.every},
            "router": _told(deployment.router),
            "pieces": [_told(piece) for piece in deployment.pieces],
        }
        return {NOTES: notes, "name": slug(deployment.name), "services": services}

    def _dockerfile(self, folder: str, copied: str) -> str:
        """What builds stays in the first stage: the last has neither a compiler nor pip."""
        return f"""\
ARG BASE_IMAGE={self.base}
FROM ${{BASE_IMAGE}} AS build
COPY wheels/ /wheels/
COPY {folder}/requirements.txt /requirements.txt
RUN python3 -m venv /opt/rivals \\
 && /opt/rivals/bin/pip install --no-cache-dir --only-binary :all: --find-links /wheels -r /requirements.txt \\
 && /opt/rivals/bin/pip uninstall --yes setuptools pip

FROM ${{BASE_IMAGE}}
COPY --from=build /opt/rivals /opt/rivals
{copied}
ENV PATH=/opt/rivals/bin:$PATH PYTHONDONTWRITEBYTECODE=1 HOME=/tmp
WORKDIR /{"project" if folder == "router" else "bundle"}
USER {USER}:{USER}
EXPOSE {HTTP}
ENTRYPOINT ["rivals"]
"""


class Compose(Docker):
    """The images, and a ``compose.yaml`` that runs them on one host: only the router has a port, on loopback.

    The token is read from the file ``token`` in the folder, which is yours to make.
    """

    name = "compose"

    def __init__(self, base: str = BASE, port: int = HTTP) -> None:
        super().__init__(base)
        self.port = port

    def apply(self, folder: Path) -> Sequence[Sequence[str]]:
        """Built where something changed, started, and waited for until all are healthy."""
        return [["docker", "compose", "-f", str(folder / "compose.yaml"), "up", "--build", "--detach", "--wait"]]

    def _compose(self, deployment: Deployment) -> Manifest:
        made = super()._compose(deployment)
        words = ["serve", "--host", "0.0.0.0", "--port", str(HTTP), "--control-port", str(CONTROL)]  # noqa: S104 -- in a container, behind a token
        for piece in deployment.pieces:
            name, bundle = place(piece), f"/bundle/{piece.digest or 'DIGEST'}"
            words += ["--place", f"{piece.variant}=http://{name}:{HTTP}/{name.removeprefix('variant-')}"]
            own = ["serve-bundle", bundle, "--name", name.removeprefix("variant-"), "--host", "0.0.0.0"]  # noqa: S104 -- as above
            made["services"][name] |= _closed(piece, own)
        waited = {place(piece): {"condition": "service_healthy"} for piece in deployment.pieces}
        made["services"]["router"] |= _closed(deployment.router, words) | {
            "ports": [f"127.0.0.1:{self.port}:{HTTP}"],
            "volumes": ["state:/project/.rivals"],
            "depends_on": waited,
        }
        return made | {"volumes": {"state": {}}, "secrets": {"token": {"file": "./token"}}}


def place(piece: Piece) -> str:
    """A variant's folder and service; never the router's."""
    return f"variant-{slug(piece.variant)}"


def _build(name: str) -> Manifest:
    return {"context": ".", "dockerfile": f"{name}/Dockerfile"}


def _closed(piece: Piece, words: list[str]) -> Manifest:
    """Nothing to write to, nothing to become. A secret is a file, and rivals reads its token from the environment."""
    start = 'RIVALS_TOKEN="$$(cat /run/secrets/token)" exec rivals "$$@"'
    return {
        "entrypoint": ["/bin/sh", "-c", start, "rivals"],
        "command": words,
        "secrets": ["token"],
        "read_only": True,
        "tmpfs": ["/tmp"],  # noqa: S108 -- in a container of its own
        "cap_drop": ["ALL"],
        "security_opt": ["no-new-privileges:true"],
        "mem_limit": f"{piece.memory_mb}m",
        "stop_grace_period": "45s",
        "restart": "unless-stopped",
        "healthcheck": {"test": ["CMD", "python3", "-c", READY], "interval": "5s", "retries": 3, "start_period": "60s"},
    }


def _told(piece: Piece) -> Manifest:
    scale = piece.scale
    return {
        "variant": piece.variant,
        "weight": piece.weight,
        "mirrored": piece.mirrored,
        "digest": piece.digest,
        "image": piece.image,
        "cpu": piece.cpu,
        "memory_mb": piece.memory_mb,
        "scale": {"least": scale.least, "most": scale.most, "signal": scale.signal, "target": scale.target},
    }


def _piece(told: dict[str, Any]) -> Piece:
    return Piece(**(told | {"scale": Scale(**told["scale"])}))
