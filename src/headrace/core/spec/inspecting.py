"""What the linter may find without stopping a run."""

from __future__ import annotations

from pydantic import model_validator

from headrace.core.spec.scalars import Model


class Inspect(Model):
    """What a person has looked at and accepts."""

    allow: dict[str, str] = {}
    """Findings that are accepted, each with the reason: the name of a feature (everything found about it),
    or the kind of a finding about the whole table, such as `capped-target`."""

    @model_validator(mode="after")
    def _reasons(self) -> Inspect:
        silent = [name for name, reason in self.allow.items() if not reason.strip()]
        if silent:
            raise ValueError(f"accepting a finding needs a reason: say why {silent[0]!r} is right")
        return self
