"""The endpoint over TLS: HTTP, gRPC and the control plane, and nothing beside it."""

from __future__ import annotations

import http.client
import json
import shutil
import ssl
import subprocess
from collections.abc import Callable
from pathlib import Path

import grpc
import pytest
from tritonclient import grpc as triton

from .conftest import Server, a_row, infer, rivals


@pytest.fixture
def pair(tmp_path: Path) -> tuple[Path, Path]:
    """A certificate that signs itself for 127.0.0.1, and its key."""
    if not shutil.which("openssl"):
        pytest.fail("openssl is missing: `make parts` says how to get it")
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    words = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"]
    words += ["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(key), "-out", str(cert)]
    subprocess.run(words, check=True, capture_output=True)
    return cert, key


def test_every_port_speaks_tls_and_none_speaks_without(
    project: Path, serve: Callable[..., Server], pair: tuple[Path, Path]
) -> None:
    cert, key = pair
    server = serve(project, workers=1, grpc=True, tls=pair)
    context = ssl.create_default_context(cafile=str(cert))

    def ask(port: int, method: str, path: str, body: object = None) -> tuple[int, object]:
        connection = http.client.HTTPSConnection("127.0.0.1", port, timeout=10, context=context)
        raw = None if body is None else json.dumps(body).encode()
        connection.request(method, path, raw, {"Content-Type": "application/json"})
        reply = connection.getresponse()
        told = json.loads(reply.read())
        connection.close()
        return reply.status, told

    row = {**a_row(1), "c": 0.25}
    status, told = ask(server.port, "POST", "/v2/models/toy/infer", infer(row))
    assert status == 200
    assert told["model_version"] == "weak"  # type: ignore[index]
    assert ask(server.control_port, "GET", "/api/clock")[0] == 200
    rpc = triton.InferenceServerClient(
        f"127.0.0.1:{server.grpc_port}", creds=grpc.ssl_channel_credentials(cert.read_bytes())
    )
    assert rpc.is_server_ready()
    rpc.close()
    for port in (server.port, server.control_port):
        plain = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        plain.request("GET", "/v2")
        with pytest.raises((OSError, http.client.HTTPException)):
            plain.getresponse()
        plain.close()
    assert key.exists()


def test_a_wrong_pair_is_a_sentence(project: Path, pair: tuple[Path, Path]) -> None:
    cert, key = pair
    for words, sentence in (
        (["--tls-cert", str(cert)], "go together"),
        (["--tls-cert", str(key), "--tls-key", str(key)], "no certificate with its key"),
        (["--tls-cert", str(cert), "--tls-key", str(cert.with_name("none.pem"))], "no certificate with its key"),
    ):
        done = rivals("serve", "--port", "0", *words, cwd=project)
        assert done.returncode == 2
        assert sentence in done.stderr
