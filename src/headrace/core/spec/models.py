"""The whole spec. What is written under each field is its description in the JSON Schema."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, ConfigDict, Field

from headrace.core.digest import digest
from headrace.core.spec.features import (
    AUTO,
    Auto,
    ExprFeature,
    FeatureOrAuto,
    FeatureSpec,
    long_form,
    marked,
)
from headrace.core.spec.frame import Problem
from headrace.core.spec.inspecting import Inspect
from headrace.core.spec.judging import Evaluate, Promote
from headrace.core.spec.learning import (
    CrossValidation,
    Limits,
    ModelSpec,
    TextOrModel,
    Tune,
    Uncertainty,
)
from headrace.core.spec.plans import Context, ExperimentPlan
from headrace.core.spec.scalars import Model, Name
from headrace.core.spec.serve import Review, Serve
from headrace.core.spec.tables import Clean, Data, SplitSpec
from headrace.core.spec.watching import Alerts, Policy, Watch


class Spec(Model):
    """The whole declaration of a headrace project."""

    model_config = ConfigDict(title="headrace.yaml")

    headrace: Literal[1]
    """The version of this format."""
    project: Name
    """The project's name."""
    problem: Problem
    """The frame."""
    data: Data
    """The tables."""
    clean: Clean = Clean()
    """How columns and training rows are cleaned."""
    split: SplitSpec
    """The parts."""
    features: Annotated[dict[str, FeatureOrAuto], BeforeValidator(marked), Field(min_length=1)]
    """Features by name: a SQL expression over the events' columns and `table.column` lookups, or a history,
    neighbours, an encoding, a function. `auto` (alone, or as a key beside named ones) asks for proposals."""
    inspect: Inspect = Inspect()
    """What the linter may find without stopping a run."""
    models: Annotated[tuple[TextOrModel, ...], Field(min_length=1)] = ("linear", "tree", "forest", "boosting")
    """The candidates."""
    cv: CrossValidation = CrossValidation()
    """How candidates are compared."""
    tune: Tune | None = None
    """The search for better parameters (default: none)."""
    ensemble: Literal["off", "blend", "stack"] = "off"
    """Combine candidates: a greedy weighted blend, or a model over their answers; kept only when better
    beyond noise."""
    calibrate: Literal["off", "sigmoid", "isotonic"] = "off"
    """Make probabilities mean what they say: Platt's sigmoid, or isotonic regression."""
    uncertainty: Uncertainty | None = None
    """Prediction intervals, sets of classes, abstention (default: none)."""
    threshold: Annotated[float, Field(ge=0, le=1)] | None = None
    """Binary: the probability from which on the decision is positive (default: chosen for `problem.goal`, or
    the metric, out of fold)."""
    evaluate: Evaluate = Evaluate()
    """What is looked at beside the metric."""
    limits: Limits = Limits()
    """Budgets."""
    promote: Promote = Promote()
    """What a challenger has to show."""
    context: Context = Context()
    """The circumstances that choices rest on."""
    serve: Serve | None = None
    """How answers reach whoever acts on them."""
    review: Review | None = None
    """Which answers a person looks at (default: none)."""
    experiment: ExperimentPlan | None = None
    """The A/B test on live traffic."""
    watch: Watch = Watch()
    """What is watched in production."""
    alerts: Alerts = Alerts()
    """How many false alarms there may be, and who hears of alerts."""
    policy: Policy = Policy()
    """What is done about what is seen."""
    seed: int = 0
    """The seed of everything that draws."""

    def digest(self) -> str:
        """The spec's name: two files that mean the same have the same digest."""
        return digest(self.plain())

    def plain(self) -> dict[str, Any]:
        """The spec as plain JSON values, defaults left out."""
        return self.model_dump(mode="json", exclude_defaults=True)

    def feature_specs(self) -> dict[str, FeatureSpec]:
        """Every feature in its long form: the file's in its order, then those of the lock that it does not
        name."""
        named = {n: long_form(f) for n, f in self.features.items() if not isinstance(f, Auto)}
        kept = self.auto.lock if self.auto and self.auto.lock else {}
        return {**named, **{n: long_form(f) for n, f in kept.items() if n not in named}}

    @property
    def auto(self) -> Auto | None:
        """The settings of the proposals; None where none are asked for."""
        found = self.features.get(AUTO)
        return found if isinstance(found, Auto) else None

    @property
    def awaits_proposals(self) -> bool:
        """Whether proposals are asked for and not made yet."""
        return self.auto is not None and self.auto.lock is None

    def without_lock(self) -> Spec:
        """The spec as it asks for proposals, without those that were made."""
        if self.auto is None:
            return self
        auto = self.auto.model_copy(update={"lock": None})
        return self.model_copy(update={"features": {**self.features, AUTO: auto}})

    def with_lock(self, kept: Mapping[str, Any]) -> Spec:
        """The spec with these definitions in place of the proposals that it asks for."""
        if self.auto is None:
            return self
        auto = self.auto.model_copy(update={"lock": dict(kept)})
        return self.model_copy(update={"features": {**self.features, AUTO: auto}})

    def expressions(self) -> dict[str, ExprFeature]:
        """The features that are expressions, in the order of the file."""
        return {n: f for n, f in self.feature_specs().items() if isinstance(f, ExprFeature)}

    def model_specs(self) -> dict[str, ModelSpec]:
        """Every candidate in its long form, by its name on the leaderboard."""
        long = [m if isinstance(m, ModelSpec) else ModelSpec(use=m) for m in self.models]
        return {m.name or m.use: m for m in long}

    def owner(self, stage: str) -> str:
        """Who answers for a stage."""
        return self.problem.owners.get(stage) or self.problem.owners.get("default", "")


def json_schema() -> dict[str, Any]:
    """The JSON Schema that editors complete `headrace.yaml` from."""
    schema = Spec.model_json_schema()
    named = schema["properties"]["features"]
    told = {k: named.pop(k) for k in ("title", "description") if k in named}
    schema["properties"]["features"] = {**told, "anyOf": [{"const": AUTO}, named]}
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}
