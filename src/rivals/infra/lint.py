"""Traps in foreign descriptions: what is valid, and does not do what its author will think.

Each is from the platforms' own documents or issue trackers. A rule takes all documents of the files, and gives traps.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence

from rivals.infra.reading import Document, found, get, title, walk
from rivals.placement import Trap

Rule = Callable[[Sequence[Document]], Iterator[Trap]]
PERCENT = 100


def lint(documents: Sequence[Document]) -> list[Trap]:
    """Every trap in the documents, in their order."""
    return [trap for rule in RULES for trap in rule(documents)]


def _analysis(documents: Sequence[Document]) -> Iterator[Trap]:
    for kind in ("AnalysisTemplate", "ClusterAnalysisTemplate"):
        for template in found(documents, kind):
            for metric in get(template, "spec", "metrics", default=()):
                where = f"{title(template)}: metric {metric.get('name', '?')}"
                good, bad = metric.get("successCondition"), metric.get("failureCondition")
                if bool(good) != bool(bad):
                    yield Trap(
                        where,
                        f"only {'success' if good else 'failure'}Condition is written, so nothing is inconclusive: too "
                        "little data reads as a verdict",
                        "write both conditions, so that what meets neither pauses the rollout",
                    )
                query = str(get(metric, "provider", "prometheus", "query", default=""))
                conditions = f"{good} {bad}"
                if query and "isNaN" not in conditions and "len(result)" not in conditions:
                    yield Trap(
                        where,
                        "a query without traffic gives NaN or nothing, which is an error or passes a comparison",
                        "guard the condition with len(result) > 0 and !isNaN(result[0]), and the query by a number of "
                        "requests",
                    )
                if not metric.get("count") and not metric.get("interval"):
                    yield Trap(where, "it is looked at once", "give it an interval, or a count")


def _rollouts(documents: Sequence[Document]) -> Iterator[Trap]:
    for rollout in found(documents, "Rollout"):
        canary = get(rollout, "spec", "strategy", "canary", default={})
        where = title(rollout)
        if "analysis" in canary:
            last = (get(canary, "steps", default=None) or [{}])[-1]
            if "pause" not in last and "analysis" not in last:
                yield Trap(
                    where,
                    "the analysis in the background is cut short by the last step, and counts as successful then",
                    "end with a pause, or with an analysis as a step",
                )
        if canary and not get(canary, "trafficRouting") and get(canary, "steps"):
            yield Trap(
                where,
                "without trafficRouting a weight is a number of pods: with few replicas 1 % is 20 %, or nothing",
                "name a trafficRouting",
            )


def _flagger(documents: Sequence[Document]) -> Iterator[Trap]:
    for canary in found(documents, "Canary"):
        analysis = get(canary, "spec", "analysis", default={})
        affinity = get(analysis, "sessionAffinity", default={})
        where = title(canary)
        if affinity.get("cookieName") and not affinity.get("primaryCookieName"):
            yield Trap(
                where,
                "cookieName alone keeps users with the canary only, so the primary is drained of them step by step",
                "set primaryCookieName too",
            )
        for metric in get(analysis, "metrics", default=()):
            if get(metric, "thresholdRange"):
                yield Trap(
                    f"{where}: metric {metric.get('name', '?')}",
                    "a fixed limit rolls innocent canaries back when both versions fail alike, and lets one twice as "
                    "bad pass below it",
                    "compare with the primary: ask /api/verdict in a webhook",
                )
        if not get(analysis, "webhooks") and not get(analysis, "metrics"):
            yield Trap(where, "nothing is measured, so every canary is promoted", "name metrics or webhooks")


def _scalers(documents: Sequence[Document]) -> Iterator[Trap]:
    targets: Counter[str] = Counter()
    for kind in ("HorizontalPodAutoscaler", "ScaledObject"):
        for scaler in found(documents, kind):
            target = str(get(scaler, "spec", "scaleTargetRef", "name", default="?"))
            targets[target] += 1
            if kind == "ScaledObject":
                yield from _keda(scaler)
    for work in [*found(documents, "Deployment"), *found(documents, "StatefulSet")]:
        name = str(get(work, "metadata", "name", default="?"))
        if targets[name] and get(work, "spec", "replicas") is not None:
            yield Trap(
                title(work),
                "it says replicas, and an autoscaler owns them: every apply sets them back",
                "leave replicas out",
            )
        for container in get(work, "spec", "template", "spec", "containers", default=()):
            if targets[name] and get(container, "resources", "requests", "cpu") is None:
                yield Trap(
                    f"{title(work)}: container {container.get('name', '?')}",
                    "an autoscaler on processors needs a request for them, and there is none",
                    "write resources.requests.cpu",
                )
    for name, number in targets.items():
        if number > 1:
            yield Trap(name, f"{number} autoscalers move the same workload, against one another", "keep one of them")


def _keda(scaler: Document) -> Iterator[Trap]:
    for trigger in get(scaler, "spec", "triggers", default=()):
        if trigger.get("type") != "prometheus":
            continue
        ignored = str(get(trigger, "metadata", "ignoreNullValues", default="true")).lower()
        if ignored != "false":
            yield Trap(
                title(scaler),
                "ignoreNullValues is true unless it is said, so a lost Prometheus reads as no load and scales down",
                'say ignoreNullValues: "false", and a fallback',
            )
        elif not get(scaler, "spec", "fallback"):
            yield Trap(title(scaler), "a lost Prometheus freezes the number of replicas", "give it a fallback")


def _budgets(documents: Sequence[Document]) -> Iterator[Trap]:
    replicas = {
        str(get(work, "spec", "selector", "matchLabels")): get(work, "spec", "replicas")
        for work in [*found(documents, "Deployment"), *found(documents, "StatefulSet")]
    }
    for budget in found(documents, "PodDisruptionBudget"):
        least = get(budget, "spec", "minAvailable")
        if least is not None and least == replicas.get(str(get(budget, "spec", "selector", "matchLabels"))):
            yield Trap(
                title(budget),
                "minAvailable is the number of replicas, so no node can be drained",
                "say maxUnavailable: 1",
            )


def _routes(documents: Sequence[Document]) -> Iterator[Trap]:
    for route in found(documents, "HTTPRoute"):
        for place, rule in enumerate(get(route, "spec", "rules", default=())):
            where = f"{title(route)}: rules[{place}]"
            weights = [get(ref, "weight", default=1) for ref in get(rule, "backendRefs", default=())]
            if weights and not any(weights):
                yield Trap(where, "all weights are 0, which answers every request with an error", "give one a weight")
            if sum(weight > 0 for weight in weights) > 1:
                yield Trap(
                    where,
                    "a gateway splits request by request: one user meets now one variant, now another",
                    "put the router of rivals in front, which splits by unit",
                )
            if get(rule, "sessionPersistence") or get(rule, "retry"):
                yield Trap(where, "retry and sessionPersistence are experimental and still move", "leave them out")


def _seldon(documents: Sequence[Document]) -> Iterator[Trap]:
    for experiment in found(documents, "Experiment"):
        if not get(experiment, "spec", "default"):
            yield Trap(
                title(experiment),
                "without a default it has an address of its own (the header seldon-model: NAME.experiment); clients of "
                "the model never meet it",
                "name the default that it takes over",
            )
    for pipeline in found(documents, "Pipeline"):
        yield Trap(title(pipeline), "a Pipeline runs over Kafka; without it nothing is answered", "make it a variant")
    for deployment in found(documents, "SeldonDeployment"):
        traffic = [
            get(predictor, "traffic", default=0)
            for predictor in get(deployment, "spec", "predictors", default=())
            if not predictor.get("shadow")
        ]
        if len(traffic) > 1 and sum(traffic) != PERCENT:
            yield Trap(
                title(deployment),
                f"the traffic of its predictors adds up to {sum(traffic)}, not to 100",
                "make it 100, shadows apart",
            )


def _kserve(documents: Sequence[Document]) -> Iterator[Trap]:
    for service in found(documents, "InferenceService"):
        spec = get(service, "spec", default={})
        mode = get(service, "metadata", "annotations", "serving.kserve.io/deploymentMode")
        if spec.get("canary") and mode != "Standard":
            yield Trap(
                title(service),
                "spec.canary is looked at in Standard mode only",
                "annotate serving.kserve.io/deploymentMode: Standard",
            )
        for canary in spec.get("canary") or ():
            inner = get(canary, "predictor", default={})
            if {"minReplicas", "maxReplicas", "scaleTarget"} & set(inner):
                yield Trap(
                    f"{title(service)}: canary {inner.get('name', '?')}",
                    "a canary has a fixed number of replicas; its autoscaling is not looked at",
                    "leave minReplicas, maxReplicas and scaleTarget out",
                )
    for graph in found(documents, "InferenceGraph"):
        for name, node in get(graph, "spec", "nodes", default={}).items():
            steps, where = get(node, "steps", default=()), f"{title(graph)}: node {name}"
            kind = get(node, "routerType")
            if kind == "Splitter" and (total := sum(get(step, "weight", default=0) for step in steps)) != PERCENT:
                yield Trap(where, f"its weights add up to {total}", "make them 100")
            if kind == "Switch" and steps and get(steps[-1], "condition"):
                yield Trap(where, "a Switch has no default: what meets no condition fails", "end with a step for all")


def _ray(documents: Sequence[Document]) -> Iterator[Trap]:
    for service in found(documents, "RayService"):
        options = get(service, "spec", "upgradeStrategy", "clusterUpgradeOptions", default={})
        surge = options.get("maxSurgePercent", PERCENT)
        if options.get("stepSizePercent", 0) > surge:
            yield Trap(title(service), f"steps are larger than the surge of {surge} %", "lower stepSizePercent")
        if isinstance(get(service, "spec", "serveConfigV2"), dict):
            yield Trap(title(service), "serveConfigV2 is a string of YAML, not a mapping", "write it as a block: |")


def _pods(documents: Sequence[Document]) -> Iterator[Trap]:
    for document in documents:
        for path, value in walk(document):
            if path.endswith("subPath") and "volumeMounts" in path:
                yield Trap(
                    f"{title(document)}: {path}", "what is mounted by subPath never changes again", "mount it all"
                )
            named = isinstance(value, str) and (":" in value.rpartition("/")[2] or "{{" in value)
            if path.endswith("image") and isinstance(value, str) and not named:
                yield Trap(f"{title(document)}: {path}", f"{value!r} is another image tomorrow", "name its digest")


def _sagemaker(documents: Sequence[Document]) -> Iterator[Trap]:
    for document in documents:
        if "ProductionVariants" in document and len(document["ProductionVariants"]) > 1:
            yield Trap(
                str(document.get("EndpointConfigName", "the endpoint")),
                "SageMaker splits request by request, and its alarms are fixed limits",
                "split by unit in front, and compare the variants",
            )
        if "ShadowProductionVariants" in document:
            yield Trap(
                str(document.get("EndpointConfigName", "the endpoint")),
                "a shadow is compared by its operation only, not by its answers",
                "pair the answers: `shadows` of an endpoint of rivals",
            )


RULES: tuple[Rule, ...] = (
    _analysis, _rollouts, _flagger, _scalers, _budgets, _routes, _seldon, _kserve, _ray, _pods, _sagemaker,
)  # fmt: skip
