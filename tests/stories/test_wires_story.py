"""One endpoint, five ways to ask it: the same id meets the same variant and the same numbers through all of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from tritonclient import grpc as triton_grpc
from tritonclient import http as triton_http
from tritonclient.utils import InferenceServerException

from rivals.flows.workspace import open_workspace
from rivals.statistics.assignment import reweight
from rivals.values import Arm

from .conftest import COLUMNS, Server, a_row, infer, wait_until

Answer = tuple[str, list[float]]


def tensors(module: Any, row: dict[str, Any]) -> list[Any]:
    """A row as the official client's inputs, raw as it sends them by itself."""
    made = []
    for name in COLUMNS:
        one = module.InferInput(name, [1], "BYTES" if name == "color" else "FP64")
        one.set_data_from_numpy(np.array([row[name]], object if name == "color" else np.float64))
        made.append(one)
    return made


def test_the_same_id_meets_the_same_variant_and_numbers_through_every_wire(
    project: Path, serve: Callable[..., Server]
) -> None:
    server = serve(project, workers=2, grpc=True)
    workspace = open_workspace(project)
    table = workspace.table()
    arms = (replace(table.arms[0], weight=0.5), Arm("logistic", workspace.trained("logistic").digest, 0.5))
    slots = reweight(table.slots, ["weak"], ["weak", "logistic"], [0.5, 0.5])
    split = replace(table, revision=table.revision + 1, arms=arms, slots=slots)
    with workspace.store.transaction() as tx:
        tx.put_table(split, expect=table.revision)
    http = triton_http.InferenceServerClient(f"127.0.0.1:{server.port}")
    rpc = triton_grpc.InferenceServerClient(f"127.0.0.1:{server.grpc_port}")
    path = "/v2/models/toy/infer"

    def plain(name: str, row: dict[str, Any]) -> Answer:
        _, told, body = server.request("POST", path, infer(row), X_Request_Id=name)
        assert int(told["x-rivals-revision"]) <= split.revision
        return told["x-rivals-variant"], body["outputs"][0]["data"]

    def binary(name: str, row: dict[str, Any]) -> Answer:
        got = http.infer("toy", tensors(triton_http, row), request_id=name)
        return got.get_response()["model_version"], got.as_numpy("probabilities")[0].tolist()

    def remote(name: str, row: dict[str, Any]) -> Answer:
        got = rpc.infer("toy", tensors(triton_grpc, row), request_id=name, client_timeout=10)
        return got.get_response().model_version, got.as_numpy("probabilities")[0].tolist()

    def mlflow(name: str, row: dict[str, Any]) -> Answer:
        _, told, body = server.request("POST", "/invocations", {"dataframe_records": [row]}, X_Request_Id=name)
        return told["x-rivals-variant"], body["predictions"][0]

    def kserve(name: str, row: dict[str, Any]) -> Answer:
        _, told, body = server.request("POST", "/v1/models/toy:predict", {"instances": [row]}, X_Request_Id=name)
        return told["x-rivals-variant"], body["predictions"][0]

    row = {**a_row(1), "c": 0.25}
    wait_until(lambda: all(plain(f"w{n}", row) and _revision(server, row) == split.revision for n in range(20)), 20)
    met = set()
    for number in range(40):
        row = {**a_row(number), "c": 0.25}
        first, *others = [wire(f"same-{number}", row) for wire in (plain, binary, remote, mlflow, kserve)]
        met.add(first[0])
        for variant, numbers in others:
            assert variant == first[0]
            assert numbers == pytest.approx(first[1], abs=1e-12)
    assert met == {"weak", "logistic"}
    http.close()

    assert rpc.is_server_live()
    assert rpc.is_server_ready()
    assert rpc.is_model_ready("toy", "weak")
    assert rpc.get_server_metadata().name == "rivals"
    assert [one.name for one in rpc.get_model_metadata("toy").inputs] == list(COLUMNS)
    assert {one.version for one in rpc.get_model_repository_index().models} == {"weak", "logistic"}
    assert {one.version for one in rpc.get_inference_statistics("toy").model_stats} == {"weak", "logistic"}
    pinned = rpc.infer("toy", tensors(triton_grpc, row), model_version="logistic")
    assert pinned.get_response().model_version == "logistic"
    rpc.close()


def _revision(server: Server, row: dict[str, Any]) -> int:
    return int(server.request("POST", "/v2/models/toy/infer", infer(row))[1]["x-rivals-revision"])


def test_what_is_wrong_is_a_grpc_status_with_a_sentence(
    project: Path, serve: Callable[..., Server], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RIVALS_TOKEN", "secret")
    server = serve(project, workers=1, grpc=True)
    rpc = triton_grpc.InferenceServerClient(f"127.0.0.1:{server.grpc_port}")
    trusted = {"authorization": "Bearer secret"}
    row = {**a_row(1), "c": 0.25}

    def refused(inputs: list[Any], headers: dict[str, str], name: str = "toy") -> tuple[str, str]:
        with pytest.raises(InferenceServerException) as got:
            rpc.infer(name, inputs, headers=headers)
        return str(got.value.status()), got.value.message()

    good = tensors(triton_grpc, row)
    assert rpc.is_server_live()
    assert refused(good, {}) == (
        "StatusCode.UNAUTHENTICATED",
        "This needs 'authorization: Bearer <token>' in the metadata.",
    )
    status, sentence = refused(good, trusted, "toi")
    assert (status, "no endpoint 'toi'" in sentence) == ("StatusCode.NOT_FOUND", True)
    status, sentence = refused(good[:3], trusted)
    assert (status, "'color' is missing" in sentence) == ("StatusCode.INVALID_ARGUMENT", True)
    status, sentence = refused(good, {**trusted, "x-rivals-variant": "nobody"})
    assert (status, "no variant 'nobody'" in sentence) == ("StatusCode.NOT_FOUND", True)
    status, sentence = refused(good, {**trusted, "x-rivals-deadline-ms": "soon"})
    assert (status, "number of milliseconds" in sentence) == ("StatusCode.INVALID_ARGUMENT", True)
    big = triton_grpc.InferInput("a", [3_000_000], "FP64")
    big.set_data_from_numpy(np.zeros(3_000_000))
    assert refused([big], trusted)[0] == "StatusCode.RESOURCE_EXHAUSTED"
    answered = rpc.infer("toy", good, headers={**trusted, "x-request-id": "mine"})
    assert answered.get_response().id == "mine"
    rpc.close()
    channel = grpc.insecure_channel(f"127.0.0.1:{server.grpc_port}")
    with pytest.raises(grpc.RpcError, match="UNIMPLEMENTED"):
        channel.unary_unary("/inference.GRPCInferenceService/Nothing")(b"")
    with pytest.raises(grpc.RpcError):
        channel.unary_unary("/inference.GRPCInferenceService/ModelInfer")(b"\xff\xff\xff")
    channel.close()
