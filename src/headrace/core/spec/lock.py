"""The lock of proposed features: what was kept, what was tried and dropped, and what that rests on."""

from __future__ import annotations

from typing import Literal

from pydantic import ConfigDict

from headrace.core.spec.features import AnyFeature, FeatureSpec, long_form
from headrace.core.spec.scalars import Model


class Gain(Model):
    """What a proposal did to the loss of rows out of fold: squared error, or log loss.

    All figures are shares of the loss without it: 0.02 is 2% less. `low` and `high` are the 90% interval over
    whole units; `probe` is the most that a copy of it with its rows shuffled gained."""

    gain: float
    """The mean."""
    low: float
    """Its interval's lower end."""
    high: float
    """Its upper end."""
    probe: float | None = None
    """The best of its shuffled copies."""


class About(Model):
    """A kept feature, told."""

    form: str
    """What kind of proposal it is: plain, ratio, difference, cycle, history …"""
    source: tuple[str, ...] = ()
    """The tables that it reads."""
    risk: str = ""
    """What is to be known of leakage."""
    measured: Gain | None = None
    """Its gain when it was taken in; plain columns are not measured."""


class Tried(Model):
    """A proposal that was not kept."""

    feature: AnyFeature
    """Its definition: copy it to `features:` to take it all the same."""
    form: str
    """What kind of proposal it is."""
    why: str
    """Why it was not kept."""
    measured: Gain | None = None
    """Its gain, where it was tried with the model."""


class Made(Model):
    """What the choice rests on."""

    data: str
    """The digest of the tables' contents."""
    asked: str
    """The digest of target, time, split and cleaning."""
    seed: int
    """The seed of everything that was drawn."""
    budget: str
    """The time that it could take."""
    level: float
    """The chance of keeping anything where nothing is to be found."""
    learner: str
    """What the gains were measured with."""
    loss: str
    """What is less with a good feature."""
    rows: int
    """Training rows that were used."""
    folds: int
    """Folds."""
    tried: int
    """Proposals that the screen saw."""
    ended: str
    """Why it stopped."""
    headrace: str = ""
    """The version."""


class Lock(Model):
    """The file `features.lock.yaml`."""

    model_config = ConfigDict(title="features.lock.yaml")

    headrace_features: Literal[1]
    """The version of this format."""
    pin: tuple[str, ...] = ()
    """Features that stay as they stand here when proposals are made again."""
    features: dict[str, AnyFeature]
    """What is used: ordinary definitions. Change them, or take some out."""
    about: dict[str, About] = {}
    """What is known of them."""
    dropped: dict[str, Tried] = {}
    """What was tried and not kept."""
    left_out: dict[str, str] = {}
    """Columns that nothing reads, and why."""
    made: Made
    """What the choice rests on."""

    def feature_specs(self) -> dict[str, FeatureSpec]:
        """The features in their long form."""
        return {n: long_form(f) for n, f in self.features.items()}
