"""Descriptions in the shapes that the platforms document: read, or refused with a sentence."""

from __future__ import annotations

from pathlib import Path

import pytest

from rivals.errors import SpecError
from rivals.flows.deploy import import_files

SELDON = """
apiVersion: mlops.seldon.io/v1alpha1
kind: Model
metadata: {name: iris}
spec: {storageUri: "gs://seldon-models/mlserver/iris", requirements: [sklearn], memory: 100Ki}
---
apiVersion: mlops.seldon.io/v1alpha1
kind: Model
metadata: {name: iris2}
spec: {storageUri: "gs://seldon-models/mlserver/iris", requirements: [sklearn]}
---
apiVersion: mlops.seldon.io/v1alpha1
kind: Experiment
metadata: {name: experiment-sample}
spec:
  default: iris
  candidates: [{name: iris, weight: 50}, {name: iris2, weight: 50}]
  mirror: {name: iris3, percent: 100}
"""
SELDON_V1 = """
apiVersion: machinelearning.seldon.io/v1
kind: SeldonDeployment
metadata: {name: example}
spec:
  name: canary-example
  predictors:
  - {name: main, replicas: 1, traffic: 75, graph: {name: classifier, implementation: SKLEARN_SERVER, modelUri: "gs://a"}}
  - {name: canary, replicas: 1, traffic: 25, graph: {name: classifier, implementation: SKLEARN_SERVER, modelUri: "gs://b"}}
"""
KSERVE = """
apiVersion: serving.kserve.io/v1beta1
kind: InferenceService
metadata: {name: sklearn-iris}
spec:
  predictor: {model: {modelFormat: {name: sklearn}, storageUri: "gs://kfserving-examples/models/sklearn/1.0/model"}}
  canary: [{predictor: {name: v2, model: {modelFormat: {name: sklearn}, storageUri: "gs://b"}}, trafficPercent: 10}]
"""
GRAPH = """
apiVersion: serving.kserve.io/v1alpha1
kind: InferenceGraph
metadata: {name: splitter}
spec: {nodes: {root: {routerType: Splitter, steps: [{serviceName: a, weight: 20}, {serviceName: b, weight: 80}]}}}
"""
ARGO = """
apiVersion: argoproj.io/v1alpha1
kind: Rollout
metadata: {name: guestbook}
spec:
  replicas: 5
  strategy:
    canary:
      steps: [{setWeight: 20}, {pause: {}}, {setWeight: 40}, {pause: {duration: 10}}, {setWeight: 60}, {pause: {duration: 10m}}]
"""
FLAGGER = """
apiVersion: flagger.app/v1beta1
kind: Canary
metadata: {name: podinfo, namespace: test}
spec:
  targetRef: {apiVersion: apps/v1, kind: Deployment, name: podinfo}
  service: {port: 9898}
  analysis: {interval: 1m, threshold: 5, maxWeight: 50, stepWeight: 10}
"""
ROUTE = """
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: web}
spec:
  parentRefs: [{name: example-gateway}]
  rules:
  - matches: [{headers: [{name: traffic, value: test}]}]
    backendRefs: [{name: v2, port: 8080}]
  - filters: [{type: RequestMirror, requestMirror: {backendRef: {name: v3, port: 8080}, fraction: {numerator: 1, denominator: 20}}}]
    backendRefs: [{name: v1, port: 8080, weight: 90}, {name: v2, port: 8080, weight: 10}]
"""
SAGEMAKER = """
{"EndpointConfigName": "production", "EndpointConfigArn": "arn", "ProductionVariants": [
 {"VariantName": "a", "ModelName": "m1", "InitialInstanceCount": 2, "InstanceType": "ml.m5.large", "InitialVariantWeight": 3.0},
 {"VariantName": "b", "ModelName": "m2", "InitialInstanceCount": 1, "InstanceType": "ml.m5.large", "InitialVariantWeight": 1.0}],
 "ShadowProductionVariants": [{"VariantName": "s", "ModelName": "m3", "InitialInstanceCount": 1, "InitialVariantWeight": 2.0}]}
"""


def read(tmp_path: Path, text: str):
    path = tmp_path / "foreign.yaml"
    path.write_text(text)
    return import_files([path])


@pytest.mark.parametrize(
    ("text", "champion", "weights", "mirrored"),
    [
        (SELDON, "iris", {"iris": 0.5, "iris2": 0.5}, {"iris3": 1.0}),
        (SELDON_V1, "main", {"main": 0.75, "canary": 0.25}, {}),
        (KSERVE, "sklearn-iris", {"sklearn-iris": 0.9, "v2": 0.1}, {}),
        (GRAPH, "b", {"a": 0.2, "b": 0.8}, {}),
        (ROUTE, "v1", {"v1": 0.9, "v2": 0.1}, {"v3": 0.05}),
        (SAGEMAKER, "a", {"a": 0.75, "b": 0.25}, {"s": 0.5}),
        (FLAGGER, "podinfo-primary", {"podinfo-primary": 1.0}, {}),
        (ARGO, "guestbook-stable", {"guestbook-stable": 1.0}, {}),
    ],
)
def test_the_documented_shapes_are_read(
    tmp_path: Path, text: str, champion: str, weights: dict, mirrored: dict
) -> None:
    found = read(tmp_path, text)
    assert found.champion == champion
    assert {piece.variant: round(piece.weight, 6) for piece in found.arms} == weights
    assert {piece.variant: piece.mirrored for piece in found.shadows} == mirrored


def test_the_steps_of_controllers_are_read(tmp_path: Path) -> None:
    assert read(tmp_path, ARGO).climb.steps == (0.2, 0.4, 0.6)
    assert read(tmp_path, ARGO).climb.every == 600
    assert read(tmp_path, FLAGGER).climb.steps == (0.1, 0.2, 0.3, 0.4, 0.5)
    assert read(tmp_path, FLAGGER).climb.every == 60


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("kind: Pipeline\nmetadata: {name: p}\n", "a pipeline runs over Kafka"),
        (SELDON.replace("weight: 50}, {", "weight: -1}, {"), "the weight of 'iris' is -1"),
        (SELDON.replace("default: iris", "default: nobody"), "'nobody' is no candidate"),
        (SELDON_V1.replace("traffic: 25, ", ""), "Predictor canary: traffic is missing"),
        (SELDON_V1.replace('implementation: SKLEARN_SERVER, modelUri: "gs://b"', "type: ROUTER"), "its graph has a ROUTER"),
        (KSERVE.replace("predictor: {model", "predictor: {canaryTrafficPercent: 10, model", 1), "the one before it, which is not in the file"),
        (GRAPH.replace("Splitter", "Switch"), "in a project that is the endpoint's policy `match`"),
        (GRAPH.replace("80", "90"), "the weights add up to 110"),
        (ARGO.replace("canary:", "blueGreen:"), "strategy: bluegreen"),
        (ARGO.replace("duration: 10m", "duration: soon"), "'soon' is not a duration"),
        (FLAGGER.replace("stepWeight: 10", "iterations: 10"), "write it as `strategy: ab`"),
        (ROUTE.replace("weight: 90", "weight: 0").replace("weight: 10", "weight: 0"), "all weights are 0"),
        ("kind: Pod\n", r"nothing here that describes variants behind one address \(Pod\)"),
        ("kind: [", "foreign.yaml:2: this is no YAML"),
        ("- 1\n", "a description is a mapping"),
        ("", "there is nothing in it"),
        ("kind: Experiment\nmetadata: {name: e}\nspec: {}\n", "Experiment e: spec.candidates is missing"),
    ],
)  # fmt: skip
def test_what_is_not_understood_is_refused_with_a_sentence(tmp_path: Path, text: str, sentence: str) -> None:
    with pytest.raises(SpecError, match=sentence):
        read(tmp_path, text)
