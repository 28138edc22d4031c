"""What recipes have to know of a release, in one record."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass

from headrace.release.feeds import unfed
from headrace.release.manifest import Manifest
from headrace.release.plan import Plan

LOAD = 0.7
"""How much of what a server can do is planned for, as before promotion: above, answers queue."""
_MOST = 3
"""At the peak so many times the replicas of the plan are started."""
PORT = 8000
USER = 10001
"""The number of the user that serves: above those that a host gives out."""
STATE = "/state"
"""Where the log is kept: the one folder that is written to."""
SECRETS = "/run/secrets/headrace"
KEY_SECRETS = "/run/secrets/headrace-key"
LIGHT = ("click", "httptools", "msgspec", "numpy", "onnxruntime", "tzdata", "uvloop")
"""The distributions that a serving process imports."""
ARROW = ("pyarrow",)
"""What it imports too, where functions of the user's own run."""
TABLES = ("pyarrow", "pydantic", "pyyaml")
"""What it imports too, where rows are looked up in snapshots."""


@dataclass(frozen=True)
class Deploy:
    """A release on its way elsewhere.

    slug: the project's name as names of images and Kubernetes' objects are written. pins: every distribution
    to install, with its version. wheel: the name of headrace's own. bytes: of all artifacts. replicas, most:
    servers at least and at most. p50_us, p99_us: targets. key: whether the secret of hashes is needed.
    tokens: whether tokens were exported.
    """

    project: str
    slug: str
    release: str
    python: str
    pins: Mapping[str, str]
    wheel: str
    bytes: int
    replicas: int
    most: int
    p50_us: int | None = None
    p99_us: int | None = None
    key: bool = False
    tokens: bool = False
    sized: str = ""

    @property
    def image(self) -> str:
        """The image's name."""
        return f"{self.slug}:{self.release}"


def deploy(
    manifest: Manifest,
    release: str,
    *,
    python: str,
    pins: Mapping[str, str],
    wheel: str,
    size: int,
    tokens: bool,
) -> Deploy:
    """The record of a release. python: the version of the image's Python."""
    count, sized = replicas(manifest.plan)
    return Deploy(
        manifest.project,
        slug(manifest.project),
        release,
        python,
        dict(sorted(pins.items())),
        wheel,
        size,
        count,
        count * _MOST,
        manifest.plan.p50_us,
        manifest.plan.p99_us,
        bool(manifest.serving.pii_key),
        tokens,
        sized,
    )


def replicas(plan: Plan) -> tuple[int, str]:
    """Servers of one core at least, and why so many: as stated; else so many that the throughput loads none
    beyond 70% of what was measured, and never fewer than two, so that one may be replaced."""
    if plan.replicas is not None:
        return plan.replicas, "as the spec states"
    if plan.throughput is None:
        return 2, "no throughput is stated: two, so that one may be replaced"
    if plan.speed is None or plan.speed.capacity <= 0:
        return 2, "what a core answers was not measured: set it by a load test"
    needed = math.ceil(plan.throughput / (LOAD * plan.speed.capacity))
    told = f"{plan.throughput:g}/s at {LOAD:.0%} of the {plan.speed.capacity:,.0f}/s that a core answered"
    return max(2, needed), f"{told} (without sockets) before promotion"


def needs(manifest: Manifest) -> tuple[str, ...]:
    """The distributions that serving it imports. Tables in an online store need none of Arrow's."""
    serving = manifest.serving
    return LIGHT + (TABLES if unfed(serving) else ARROW if serving.functions else ())


def slug(name: str) -> str:
    """A name as DNS labels and images have it: `Flight delays` is `flight-delays`."""
    made = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:40].strip("-")
    return made if made[:1].isalpha() else f"headrace-{made}".rstrip("-")
