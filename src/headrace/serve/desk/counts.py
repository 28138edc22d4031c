"""What went wrong at a desk, and what its shadows did."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(eq=False)
class Counts:
    """In rows, but for failures. Live: `GET /metrics` reads it. unanswered: for whom nothing was left.
    shadows_dropped: that no shadow answered, because it failed or too many waited for it. failures: by
    release how often it failed or took too long, in requests."""

    unanswered: int = 0
    shadows: int = 0
    shadows_dropped: int = 0
    failures: dict[str, int] = field(default_factory=dict)

    def failed(self, release: str) -> None:
        """Count a failure."""
        self.failures[release] = self.failures.get(release, 0) + 1
