"""One bundle behind the Open Inference Protocol, with no project; and who asks it."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path

from rivals.bundles import read_manifest
from rivals.errors import BundleError, MissingExtra, SpecError
from rivals.plugins import nearest
from rivals.serve.reconcile import EndpointConfig, publish_endpoint, publish_table
from rivals.serve.runtimes import VERSION
from rivals.serve.supervisor import Supervisor, WorkerConfig
from rivals.statistics.assignment import slots
from rivals.values import Arm, RoutingTable

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
PLACE = re.compile(r"https?://([^/\s:?#@]+|\[[0-9a-fA-F:]+\])(:\d+)?/[^/\s?#]+")
MOST = 64 << 20  # bytes of a body: the router before it has a limit of its own


def serve_alone(
    folder: Path, name: str, *, host: str, port: int, grpc_port: int, workers: int, say: Callable[[str], None]
) -> None:
    """Serve the bundle in ``folder`` until SIGTERM or SIGINT; what it needs on disk is gone then.

    Its one variant is called by the first digits of the digest. Raises ``RivalsError``.
    """
    folder = folder.resolve()
    if not NAME.fullmatch(name):
        raise SpecError(f"--name {name!r} is part of a URL: letters, digits, '.', '_' and '-'.")
    if not re.fullmatch(r"[0-9a-f]{64}", folder.name):
        raise BundleError(f"{folder.name!r} is no bundle: its folder is called by its digest, 64 hexadecimal digits.")
    check_grpc(grpc_port)
    signature, variant = read_manifest(folder).signature, folder.name[:VERSION]
    config = EndpointConfig(name, signature.task, columns=signature.inputs, max_body_bytes=MOST, recorded=False)
    table = RoutingTable(name, 1, variant, (Arm(variant, folder.name, 1.0),), "alone", slots([1.0]))
    with tempfile.TemporaryDirectory(prefix="rivals-") as run_dir:
        publish_endpoint(Path(run_dir), config)
        publish_table(Path(run_dir), table)
        say(f"{name}: http://{host}:{port}/v2/models/{name}/infer, bundle {variant}, {workers} workers")
        if grpc_port:
            say(f"grpc: {host}:{grpc_port}, inference.GRPCInferenceService")
        Supervisor(
            [
                WorkerConfig(run_dir, str(folder.parent), slot, host, port, grpc_port=grpc_port)
                for slot in range(workers)
            ]
        ).run()


def read_places(words: Sequence[str], variants: Sequence[str]) -> dict[str, str]:
    """``VARIANT=URL`` as URLs by variant. Raises ``SpecError``."""
    places: dict[str, str] = {}
    for word in words:
        variant, _, url = word.partition("=")
        if variant not in variants:
            raise SpecError(f"--place {word}: there is no variant {variant!r}.{nearest(variant, list(variants))}")
        if not PLACE.fullmatch(url):
            raise SpecError(f"--place {word}: write it as {variant}=http://host:8080/{variant}, the model's name last.")
        if variant in places:
            raise SpecError(f"--place {word}: {variant!r} has a place already, {places[variant]}.")
        places[variant] = url
    return places


def check_grpc(port: int) -> None:
    """Raises ``MissingExtra`` where a port is said and nobody could speak on it."""
    if port and find_spec("grpc") is None:
        raise MissingExtra("--grpc-port needs the package grpcio: pip install 'rivals[grpc]'.")
