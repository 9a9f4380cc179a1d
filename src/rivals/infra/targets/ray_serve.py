"""Ray Serve: an application for each variant, scaled by itself; the router of rivals stands in front.

``serve deploy`` takes the file (Ray's ServeDeploySchema). Each variant is then a place of the router:
``rivals serve --place VARIANT=http://HOST:8000/NAME``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rivals.errors import SpecError
from rivals.infra.manifests import Manifest, file, slug
from rivals.infra.reading import get, need
from rivals.placement import Deployment, Piece, Scale

APPLICATION = "rivals.flows.ray_serve:application"
HTTP = 8000
PENDING = 100  # requests that wait for each replica at most


class RayServe:
    """A configuration of applications; ``bundles`` is the folder that every node sees them in.

    ``up`` and ``down`` are the seconds that a load lasts before there are more replicas, or fewer.
    """

    def __init__(
        self,
        bundles: str = ".rivals/bundles",
        host: str = "127.0.0.1",
        port: int = HTTP,
        up: float = 5.0,
        down: float = 60.0,
    ) -> None:
        self.bundles, self.host, self.port, self.up, self.down = bundles, host, port, up, down

    def render(self, deployment: Deployment) -> Mapping[str, str]:
        """Files by path. Raises ``SpecError``."""
        return {"serve.yaml": file([self.config(deployment)], self.head(deployment))}

    def read(self, documents: Sequence[Mapping[str, Any]]) -> Deployment:
        """What such a configuration of ours describes. Raises ``SpecError``."""
        ours = [one for one in documents if one.get("applications")]
        if len(ours) != 1:
            raise SpecError(f"{len(ours)} configurations of Ray Serve are here; an endpoint is one.")
        return read_config(ours[0])

    def apply(self, folder: Path) -> Sequence[Sequence[str]]:
        """Ray's own command, against the cluster of RAY_DASHBOARD_ADDRESS."""
        return [["serve", "deploy", str(folder / "serve.yaml")]]

    def head(self, deployment: Deployment) -> tuple[str, ...]:
        """How the router finds the variants."""
        places = " ".join(
            f"--place {piece.variant}=http://{self.host}:{self.port}/{slug(piece.variant)}"
            for piece in deployment.pieces
        )
        return "Shares are the router's, which keeps a unit with its variant:", f"rivals serve {places}"

    def config(self, deployment: Deployment) -> Manifest:
        """What ``serve deploy`` takes."""
        return {
            "proxy_location": "EveryNode",
            "http_options": {"host": self.host, "port": self.port},
            "applications": [self._application(deployment, piece) for piece in deployment.pieces],
        }

    def _application(self, deployment: Deployment, piece: Piece) -> Manifest:
        if not piece.digest:
            raise SpecError(f"{piece.variant!r} was never built: Ray Serve has nothing to load.")
        name = slug(piece.variant)
        about = {"endpoint": deployment.name, "champion": deployment.champion, "variant": piece.variant}
        made: Manifest = {
            "name": "Model",
            "max_ongoing_requests": max(2, round(2 * _in_flight(piece.scale))),
            "max_queued_requests": PENDING,
            "ray_actor_options": {"num_cpus": piece.cpu, "memory": piece.memory_mb << 20},
        }
        if piece.scale.moves:
            made["autoscaling_config"] = {
                "min_replicas": piece.scale.least,
                "max_replicas": piece.scale.most,
                "target_ongoing_requests": _in_flight(piece.scale),
                "upscale_delay_s": self.up,
                "downscale_delay_s": self.down,
                "look_back_period_s": self.up,
            }
        else:
            made["num_replicas"] = piece.scale.least
        return {
            "name": name,
            "route_prefix": f"/v2/models/{name}",
            "import_path": APPLICATION,
            "args": {
                "bundle": f"{self.bundles.rstrip('/')}/{piece.digest}",
                "name": name,
                "about": about | {"weight": piece.weight, "mirrored": piece.mirrored},
            },
            "deployments": [made],
        }


def read_config(config: Mapping[str, Any], namespace: str = "default") -> Deployment:
    """The deployment that a configuration of Ray Serve describes. Raises ``SpecError``."""
    pieces, about = [], {}
    for one in config["applications"]:
        if one.get("import_path") != APPLICATION:
            raise SpecError(f"{one.get('name')!r} is an application of {one.get('import_path')}, and none of rivals.")
        about, bundle = need(one, "args", "about"), str(need(one, "args", "bundle"))
        made = need(one, "deployments", 0)
        scaled = made.get("autoscaling_config")
        least = scaled["min_replicas"] if scaled else made.get("num_replicas", 1)
        options = made.get("ray_actor_options", {})
        pieces.append(
            Piece(
                str(about["variant"]),
                float(about["weight"]),
                float(about["mirrored"]),
                bundle.rpartition("/")[2],
                cpu=float(options.get("num_cpus", 1)),
                memory_mb=int(get(options, "memory", default=512 << 20)) >> 20,
                scale=Scale(least, scaled["max_replicas"], "in_flight", float(scaled["target_ongoing_requests"]))
                if scaled
                else Scale(least, least),
            )
        )
    name = str(about["endpoint"])
    return Deployment(name, str(about["champion"]), tuple(pieces), Piece(name), namespace=namespace)


def _in_flight(scale: Scale) -> float:
    """The one signal that Ray Serve knows. By Little's law a share of a processor is as many requests in flight."""
    match scale.signal:
        case "in_flight":
            return scale.target
        case "cpu":
            return scale.target / 100
        case "p99_ms":
            raise SpecError("Ray Serve scales on requests in flight, not on p99_ms; say signal: in_flight.")
