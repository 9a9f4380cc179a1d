"""A bundle as an application of Ray Serve: what `rivals serve-bundle` answers, from as many replicas as Ray keeps."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ray import serve
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from rivals.errors import BundleError, RequestError, SpecError
from rivals.serve.asking import tell
from rivals.serve.inputs import Inputs
from rivals.serve.runtimes import VERSION
from rivals.serve.runtimes.opening import open_bundle
from rivals.serve.wires import oip
from rivals.statistics.assignment import slots
from rivals.values import Answer, Arm, RoutingTable


@serve.deployment
class Model:
    """One replica; it is ready when the bundle answers its own probe."""

    def __init__(self, bundle: str, name: str) -> None:
        folder = Path(bundle).resolve()
        if not folder.is_dir():
            raise SpecError(f"There is no bundle at {bundle} on this node.")
        self._name, self._version = name, folder.name[:VERSION]
        self._predictor = open_bundle(folder, lambda digest: folder.parent / digest)
        self._inputs = Inputs(self._predictor.signature.inputs)
        self._table = RoutingTable(name, 1, self._version, (Arm(self._version, folder.name, 1.0),), name, slots([1.0]))

    async def __call__(self, request: Request) -> Response:
        """The Open Inference Protocol over HTTP, below ``/v2/models/NAME``."""
        words = request.url.path.strip("/").split("/")[3:]
        if words[:1] == ["versions"]:
            if words[1:2] != [self._version]:
                return JSONResponse({"error": f"This is bundle {self._version}."}, 404)
            words = words[2:]
        match request.method, words:
            case "GET", []:
                signature = self._predictor.signature
                return JSONResponse(oip.model(self._table, self._inputs.columns, signature, self._version))
            case "GET", ["ready"]:
                return JSONResponse({"ready": True})
            case "POST", ["infer"]:
                return await self._infer(await request.body(), request.headers.get("x-request-id", ""))
        return JSONResponse({"error": "There is nothing here."}, 404)

    async def _infer(self, raw: bytes, name: str) -> Response:
        signature = self._predictor.signature
        try:
            asked = oip.infer(raw, signature, {})
            columns = self._inputs.check(asked.columns)
        except RequestError as error:
            return JSONResponse({"error": str(error)}, 400)
        told = (await run_in_threadpool(tell, self._predictor, [columns]))[0]
        if told.reason:
            return JSONResponse({"error": told.reason}, 500)
        answer = Answer(asked.id or name, self._version, 1, told.outputs)
        body, _ = oip.answer(answer, self._name, signature, asked.outputs)
        return Response(body, media_type="application/json")


def application(args: dict[str, Any]) -> serve.Application:
    """What ``import_path`` names: ``bundle`` is a folder, ``name`` the model's in URLs. Raises ``BundleError``."""
    if "://" in args["bundle"]:
        raise BundleError(f"{args['bundle']} is no folder; mount it on every node.")
    return Model.bind(args["bundle"], args["name"])  # type: ignore[attr-defined]  # the decorator gives it


def run(config: Mapping[str, Any]) -> None:
    """Run what ``rivals deploy ray_serve`` wrote on the Ray that this process is connected to; returns when it runs."""
    serve.start(proxy_location=config["proxy_location"], http_options=config["http_options"])
    for one in config["applications"]:
        options = {key: value for key, value in one["deployments"][0].items() if key != "name"}
        bound = Model.options(**options).bind(one["args"]["bundle"], one["args"]["name"])  # type: ignore[attr-defined]
        serve.run(bound, name=one["name"], route_prefix=one["route_prefix"])


def ready(name: str) -> int:
    """How many replicas of a variant's application run, for ``flows.capacity``."""
    application_ = serve.status().applications.get(name)
    if application_ is None:
        return 0
    return sum(one.replica_states.get("RUNNING", 0) for one in application_.deployments.values())
