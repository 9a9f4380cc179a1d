"""What is written for Ray is what Ray's own schema takes, and its files fit together."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
import yaml

from rivals.errors import SpecError
from rivals.infra.reading import documents_of
from rivals.infra.targets.kuberay import KubeRay
from rivals.infra.targets.ray_serve import RayServe
from rivals.placement import Scale

from .deployments import FLIGHTS


def test_rays_own_schema_takes_the_applications() -> None:
    schema = pytest.importorskip("ray.serve.schema", reason="MISSING PART: ray; pip install 'rivals[ray]'")
    config = yaml.safe_load(RayServe().render(FLIGHTS)["serve.yaml"])
    found = schema.ServeDeploySchema.parse_obj(config)
    assert [one.name for one in found.applications] == [one["name"] for one in config["applications"]]
    scaled = found.applications[0].deployments[0].autoscaling_config
    assert (scaled["min_replicas"], scaled["max_replicas"], scaled["target_ongoing_requests"]) == (2, 6, 8.0)


def test_every_variant_is_an_application_of_its_own_and_a_place_of_the_router() -> None:
    text = RayServe().render(FLIGHTS)["serve.yaml"]
    config = yaml.safe_load(text)
    places = dict(re.findall(r"--place (\S+)=http://127.0.0.1:8000/(\S+)", text))
    assert places.keys() == {"blend", "Big_Net", "old"}
    assert {f"/v2/models/{name}" for name in places.values()} == {one["route_prefix"] for one in config["applications"]}


def test_the_files_of_kuberay_fit_together() -> None:
    files = KubeRay().render(FLIGHTS)
    (service,), (cluster,), (job,) = (
        documents_of(files[f"{name}.yaml"], name) for name in ("service", "cluster", "train")
    )
    assert [one["kind"] for one in (service, cluster, job)] == ["RayService", "RayCluster", "RayJob"]
    assert {one["apiVersion"] for one in (service, cluster, job)} == {"ray.io/v1"}
    assert job["spec"]["clusterSelector"] == {"ray.io/cluster": cluster["metadata"]["name"]}
    assert isinstance(service["spec"]["serveConfigV2"], str)
    config = yaml.safe_load(service["spec"]["serveConfigV2"])
    for spec in (service["spec"]["rayClusterConfig"], cluster["spec"]):
        groups = [spec["headGroupSpec"], *spec["workerGroupSpecs"]]
        for group in groups:
            (container,) = group["template"]["spec"]["containers"]
            assert {one["name"] for one in container["volumeMounts"]} <= {
                one["name"] for one in group["template"]["spec"]["volumes"]
            }
            assert group["template"]["spec"]["securityContext"]["runAsNonRoot"]
            assert all(isinstance(value, str) for value in group["rayStartParams"].values())
        (workers,) = spec["workerGroupSpecs"]
        assert workers["minReplicas"] <= workers["replicas"] <= workers["maxReplicas"]
    (workers,) = service["spec"]["rayClusterConfig"]["workerGroupSpecs"]
    asked = workers["template"]["spec"]["containers"][0]["resources"]["requests"]
    largest = max(one["deployments"][0]["ray_actor_options"]["num_cpus"] for one in config["applications"])
    assert int(asked["cpu"].removesuffix("m")) >= 1000 * largest
    mounts = {one["mountPath"] for one in workers["template"]["spec"]["containers"][0]["volumeMounts"]}
    assert all(any(one["args"]["bundle"].startswith(f"{mount}/") for mount in mounts) for one in config["applications"])


def test_a_signal_that_ray_does_not_know_is_refused() -> None:
    piece = replace(FLIGHTS.pieces[0], scale=Scale(1, 2, "p99_ms", 50.0))
    with pytest.raises(SpecError, match="requests in flight, not on p99_ms"):
        RayServe().render(replace(FLIGHTS, pieces=(piece,)))
