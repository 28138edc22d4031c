"""Kubernetes: what keeps a release answering, one file an object. From the plan's targets."""

from __future__ import annotations

from typing import Any

from headrace.release.targets.compose import memory
from headrace.release.targets.deploy import KEY_SECRETS, PORT, SECRETS, STATE, USER, Deploy
from headrace.release.targets.yamls import as_yaml

Object = dict[str, Any]
_GRACE = 45
"""Seconds to stop in: longer than a server takes to answer what was begun."""


def kubernetes_files(about: Deploy, *, claim: str = "") -> dict[str, str]:
    """The objects' files by name. claim: a PersistentVolumeClaim for the logs, one folder a pod (empty: what
    a pod has logged goes with it)."""
    objects = {
        "deployment.yaml": deployment(about, claim),
        "service.yaml": service(about),
        "hpa.yaml": autoscaler(about),
        "pdb.yaml": budget(about),
        "networkpolicy.yaml": network(about),
        "servicemonitor.yaml": monitor(about),
        "prometheusrule.yaml": slos(about),
    }
    named = f"{about.project}, release {about.release}"
    return {name: as_yaml(named, made) for name, made in objects.items()}


def deployment(about: Deploy, claim: str = "") -> Object:
    """Pods that are replaced one by one, without a request lost."""
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": _metadata(about),
        "spec": {
            # No `replicas`: the autoscaler says how many, and applying this again must not undo it.
            "revisionHistoryLimit": 5,
            "progressDeadlineSeconds": 300,
            "selector": {"matchLabels": _labels(about)},
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1}},
            "template": {
                "metadata": {"labels": {**_labels(about), "app.kubernetes.io/version": about.release}},
                "spec": _pod(about, claim),
            },
        },
    }


def _pod(about: Deploy, claim: str) -> Object:
    volumes: list[Object] = [
        {"name": "state", "persistentVolumeClaim": {"claimName": claim}}
        if claim
        else {"name": "state", "emptyDir": {"sizeLimit": "4Gi"}},
        {"name": "tmp", "emptyDir": {"medium": "Memory", "sizeLimit": "16Mi"}},
        {"name": "tokens", "secret": {"secretName": f"{about.slug}-tokens", "optional": True}},
    ]
    if about.key:
        volumes.append({"name": "key", "secret": {"secretName": f"{about.slug}-key"}})
    spread = {
        "maxSkew": 1,
        "topologyKey": "kubernetes.io/hostname",
        "whenUnsatisfiable": "ScheduleAnyway",
        "labelSelector": {"matchLabels": _labels(about)},
    }
    return {
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": _GRACE,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": USER,
            "runAsGroup": USER,
            "fsGroup": USER,
            "fsGroupChangePolicy": "OnRootMismatch",
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "topologySpreadConstraints": [spread],
        "containers": [_container(about, claim)],
        "volumes": volumes,
    }


def _container(about: Deploy, claim: str) -> Object:
    state: Object = {"name": "state", "mountPath": STATE}
    if claim:
        state["subPathExpr"] = "$(POD_NAME)"
    mounts = [
        state,
        {"name": "tmp", "mountPath": "/tmp"},  # noqa: S108  a path in the container
        {"name": "tokens", "mountPath": SECRETS, "readOnly": True},
    ]
    environment: list[Object] = [
        {"name": "POD_NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
        {"name": "HEADRACE_TOKENS", "value": f"{SECRETS}/tokens.json"},
    ]
    if about.key:
        mounts.append({"name": "key", "mountPath": KEY_SECRETS, "readOnly": True})
        environment.append({"name": "HEADRACE_PII_KEY_FILE", "value": f"{KEY_SECRETS}/key"})
    room = memory(about)
    return {
        "name": "server",
        "image": about.image,
        "imagePullPolicy": "IfNotPresent",
        "ports": [{"name": "http", "containerPort": PORT}],
        "env": environment,
        "resources": {
            "requests": {"cpu": "1", "memory": f"{room}Mi"},
            "limits": {"memory": f"{2 * room}Mi"},
        },
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "startupProbe": _probe("/health/live", periodSeconds=1, failureThreshold=60),
        "readinessProbe": _probe("/health/ready", periodSeconds=2, failureThreshold=2),
        "livenessProbe": _probe("/health/live", periodSeconds=10, failureThreshold=3),
        # Until then the Service has heard that this pod is on its way out.
        "lifecycle": {"preStop": {"sleep": {"seconds": 5}}},
        "volumeMounts": mounts,
    }


def _probe(path: str, **numbers: int) -> Object:
    return {"httpGet": {"path": path, "port": "http"}, "timeoutSeconds": 2, **numbers}


def service(about: Deploy) -> Object:
    """One address inside the cluster."""
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": _metadata(about),
        "spec": {
            "type": "ClusterIP",
            "selector": _labels(about),
            "ports": [{"name": "http", "port": 80, "targetPort": "http"}],
        },
    }


def autoscaler(about: Deploy) -> Object:
    """As many pods as keep each at 70% of its core; taken away slowly, added at once."""
    made = _metadata(about)
    made["annotations"] = {"headrace/replicas": about.sized}
    return {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": made,
        "spec": {
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": about.slug},
            "minReplicas": about.replicas,
            "maxReplicas": about.most,
            "metrics": [
                {
                    "type": "Resource",
                    "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 70}},
                }
            ],
            "behavior": {
                "scaleUp": {"stabilizationWindowSeconds": 0},
                "scaleDown": {"stabilizationWindowSeconds": 300},
            },
        },
    }


def budget(about: Deploy) -> Object:
    """At most one pod is taken away at a time by those who drain nodes."""
    return {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": _metadata(about),
        "spec": {"maxUnavailable": 1, "selector": {"matchLabels": _labels(about)}},
    }


def network(about: Deploy) -> Object:
    """Who may connect: the namespace, and the one that monitors. Serving itself connects to nothing."""
    monitoring = {"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}}
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": _metadata(about),
        "spec": {
            "podSelector": {"matchLabels": _labels(about)},
            "policyTypes": ["Ingress", "Egress"],
            "ingress": [
                {
                    "from": [{"podSelector": {}}, {"namespaceSelector": monitoring}],
                    "ports": [{"protocol": "TCP", "port": PORT}],
                }
            ],
            "egress": [],
        },
    }


def monitor(about: Deploy) -> Object:
    """Where Prometheus (its operator) finds the metrics. With tokens it needs one of a viewer's, in the
    Secret `…-metrics`."""
    endpoint: Object = {"port": "http", "path": "/metrics", "interval": "15s"}
    if about.tokens:
        endpoint["authorization"] = {"credentials": {"name": f"{about.slug}-metrics", "key": "token"}}
    return {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "ServiceMonitor",
        "metadata": _metadata(about),
        "spec": {"selector": {"matchLabels": _labels(about)}, "endpoints": [endpoint]},
    }


def slos(about: Deploy) -> Object:
    """The targets as alerts: how many answers failed, and how late they were."""
    job = f'job="{about.slug}",path="/predict"'
    total = f"sum(rate(headrace_requests_total{{{job}}}[5m]))"
    failed = f'sum(rate(headrace_requests_total{{{job},status=~"5.."}}[5m]))'
    rules = [_alert("HeadraceErrors", f"{failed} / {total} > 0.01", "more than 1% of requests fail")]
    for share, target in ((0.5, about.p50_us), (0.99, about.p99_us)):
        if target is not None:
            buckets = f"sum by (le) (rate(headrace_request_duration_seconds_bucket{{{job}}}[5m]))"
            late = f"histogram_quantile({share}, {buckets}) > {target / 1e6:g}"
            rules.append(
                _alert(
                    f"HeadraceP{share * 100:.0f}",
                    late,
                    f"{share:.0%} of answers take over {target / 1e3:g} ms",
                )
            )
    return {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "PrometheusRule",
        "metadata": _metadata(about),
        "spec": {"groups": [{"name": about.slug, "rules": rules}]},
    }


def _alert(name: str, expression: str, summary: str) -> Object:
    return {
        "alert": name,
        "expr": expression,
        "for": "5m",
        "labels": {"severity": "page"},
        "annotations": {"summary": summary},
    }


def tokens_secret(about: Deploy, tokens: str) -> str:
    """The hashes of tokens as a Secret."""
    made = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": f"{about.slug}-tokens", "labels": _labels(about)},
        "type": "Opaque",
        "stringData": {"tokens.json": tokens},
    }
    return as_yaml(f"{about.project}: hashes of the tokens that are let in", made)


def _metadata(about: Deploy) -> Object:
    return {"name": about.slug, "labels": _labels(about)}


def _labels(about: Deploy) -> dict[str, str]:
    return {"app.kubernetes.io/name": "headrace", "app.kubernetes.io/instance": about.slug}
