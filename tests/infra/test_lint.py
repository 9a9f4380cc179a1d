"""A trap is named where it is, and not where it was mended."""

from __future__ import annotations

import pytest

from rivals.infra.lint import lint
from rivals.infra.reading import documents_of

HPA = "{kind: HorizontalPodAutoscaler, metadata: {name: h}, spec: {scaleTargetRef: {name: a}}}"
WORK = """{kind: Deployment, metadata: {name: a}, spec: {%s selector: {matchLabels: {app: a}}, template: {spec: {containers:
 [{name: c, image: "x@sha256:0", resources: {requests: {%s}}}]}}}}"""
PAIRS = {
    "so nothing is inconclusive": (
        "{kind: AnalysisTemplate, metadata: {name: t}, spec: {metrics: [{name: m, interval: 1m, successCondition: result == 1}]}}",
        "{kind: AnalysisTemplate, metadata: {name: t}, spec: {metrics: [{name: m, interval: 1m, successCondition: result == 1, failureCondition: result == 2}]}}",
    ),
    "gives NaN or nothing": (
        "{kind: ClusterAnalysisTemplate, metadata: {name: t}, spec: {metrics: [{name: m, count: 1, successCondition: 'result[0] > 0.9', failureCondition: 'result[0] < 0.9', provider: {prometheus: {query: q}}}]}}",
        "{kind: ClusterAnalysisTemplate, metadata: {name: t}, spec: {metrics: [{name: m, count: 1, successCondition: 'len(result) > 0 && !isNaN(result[0]) && result[0] > 0.9', failureCondition: 'result[0] < 0.9', provider: {prometheus: {query: q}}}]}}",
    ),
    "cut short by the last step": (
        "{kind: Rollout, metadata: {name: r}, spec: {strategy: {canary: {trafficRouting: {nginx: {}}, analysis: {}, steps: [{setWeight: 20}]}}}}",
        "{kind: Rollout, metadata: {name: r}, spec: {strategy: {canary: {trafficRouting: {nginx: {}}, analysis: {}, steps: [{setWeight: 20}, {pause: {duration: 1h}}]}}}}",
    ),
    "drained of them": (
        "{kind: Canary, metadata: {name: c}, spec: {analysis: {webhooks: [{}], sessionAffinity: {cookieName: x}}}}",
        "{kind: Canary, metadata: {name: c}, spec: {analysis: {webhooks: [{}], sessionAffinity: {cookieName: x, primaryCookieName: y}}}}",
    ),
    "a fixed limit rolls innocent canaries back": (
        "{kind: Canary, metadata: {name: c}, spec: {analysis: {metrics: [{name: request-success-rate, thresholdRange: {min: 99}}]}}}",
        "{kind: Canary, metadata: {name: c}, spec: {analysis: {metrics: [{name: mine, templateRef: {name: t}}]}}}",
    ),
    "an autoscaler owns them": (
        WORK % ("replicas: 2,", "cpu: 1") + "\n---\n" + HPA,
        WORK % ("", "cpu: 1") + "\n---\n" + HPA,
    ),
    "needs a request for them": (WORK % ("", "") + "\n---\n" + HPA, WORK % ("", "cpu: 1") + "\n---\n" + HPA),
    "2 autoscalers move the same workload": (HPA + "\n---\n" + HPA, HPA),
    "a lost Prometheus reads as no load": (
        "{kind: ScaledObject, metadata: {name: s}, spec: {fallback: {}, triggers: [{type: prometheus, metadata: {query: q}}]}}",
        "{kind: ScaledObject, metadata: {name: s}, spec: {fallback: {replicas: 2}, triggers: [{type: prometheus, metadata: {query: q, ignoreNullValues: 'false'}}]}}",
    ),
    "no node can be drained": (
        WORK % ("replicas: 2,", "cpu: 1") + "\n---\n{kind: PodDisruptionBudget, metadata: {name: b}, spec: {minAvailable: 2, selector: {matchLabels: {app: a}}}}",
        WORK % ("replicas: 2,", "cpu: 1") + "\n---\n{kind: PodDisruptionBudget, metadata: {name: b}, spec: {maxUnavailable: 1, selector: {matchLabels: {app: a}}}}",
    ),
    "all weights are 0": (
        "{kind: HTTPRoute, metadata: {name: r}, spec: {rules: [{backendRefs: [{name: a, weight: 0}]}]}}",
        "{kind: HTTPRoute, metadata: {name: r}, spec: {rules: [{backendRefs: [{name: a}]}]}}",
    ),
    "clients of the model never meet it": (
        "{kind: Experiment, metadata: {name: e}, spec: {candidates: []}}",
        "{kind: Experiment, metadata: {name: e}, spec: {default: a, candidates: []}}",
    ),
    "adds up to 90, not to 100": (
        "{kind: SeldonDeployment, metadata: {name: s}, spec: {predictors: [{name: a, traffic: 80}, {name: b, traffic: 10}]}}",
        "{kind: SeldonDeployment, metadata: {name: s}, spec: {predictors: [{name: a, traffic: 90}, {name: b, traffic: 10}]}}",
    ),
    "looked at in Standard mode only": (
        "{kind: InferenceService, metadata: {name: i}, spec: {canary: [{trafficPercent: 1}]}}",
        "{kind: InferenceService, metadata: {name: i, annotations: {serving.kserve.io/deploymentMode: Standard}}, spec: {canary: [{trafficPercent: 1}]}}",
    ),
    "a Switch has no default": (
        "{kind: InferenceGraph, metadata: {name: g}, spec: {nodes: {root: {routerType: Switch, steps: [{condition: x}]}}}}",
        "{kind: InferenceGraph, metadata: {name: g}, spec: {nodes: {root: {routerType: Switch, steps: [{condition: x}, {serviceName: a}]}}}}",
    ),
    "steps are larger than the surge": (
        "{kind: RayService, metadata: {name: r}, spec: {upgradeStrategy: {clusterUpgradeOptions: {stepSizePercent: 50, maxSurgePercent: 20}}}}",
        "{kind: RayService, metadata: {name: r}, spec: {upgradeStrategy: {clusterUpgradeOptions: {stepSizePercent: 5, maxSurgePercent: 20}}}}",
    ),
    "a string of YAML": (
        "{kind: RayService, metadata: {name: r}, spec: {serveConfigV2: {applications: []}}}",
        "{kind: RayService, metadata: {name: r}, spec: {serveConfigV2: 'applications: []'}}",
    ),
    "is another image tomorrow": (
        "{kind: Pod, metadata: {name: p}, spec: {containers: [{image: python}]}}",
        "{kind: Pod, metadata: {name: p}, spec: {containers: [{image: 'python@sha256:0'}]}}",
    ),
    "never changes again": (
        "{kind: Pod, metadata: {name: p}, spec: {containers: [{volumeMounts: [{name: v, subPath: a}]}]}}",
        "{kind: Pod, metadata: {name: p}, spec: {containers: [{volumeMounts: [{name: v}]}]}}",
    ),
    "its alarms are fixed limits": (
        '{"EndpointConfigName": "e", "ProductionVariants": [{}, {}]}',
        '{"EndpointConfigName": "e", "ProductionVariants": [{}]}',
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", PAIRS)
def test_a_trap_is_named_and_its_mending_is_none(what: str) -> None:
    bad, good = PAIRS[what]
    assert [trap for trap in lint(documents_of(bad, "bad.yaml")) if what in trap.what], lint(documents_of(bad, "b"))
    assert not [trap for trap in lint(documents_of(good, "good.yaml")) if what in trap.what]
