"""What predictions cost, from declared prices."""

from __future__ import annotations

from typing import Protocol

from headrace.core.watching import Family, Reading

_HOUR = 3_600_000_000


class Prices(Protocol):
    """Declared prices, as `release.watching.Prices` has them."""

    @property
    def machine_hour(self) -> float: ...
    @property
    def prediction(self) -> float: ...
    @property
    def review(self) -> float: ...
    @property
    def per_1000(self) -> float | None: ...
    @property
    def unit(self) -> str: ...


def per_1000(
    prices: Prices | None, rows: int, reviews: int, span_us: int, workers: int, answered: int = 0
) -> Reading:
    """What 1,000 predictions of a window cost: machines by the hour, whether or not they answered, reviews
    and predictions by the piece. workers: processes that answered (at least one is paid for). answered:
    predictions of all that share the machines, where that is more than the window's own."""
    if prices is None:
        return Reading(Family.COST, "per_1000", why_none="no prices are declared (`watch: {costs: ...}`)")
    if not rows:
        return Reading(Family.COST, "per_1000", unit=prices.unit, why_none="no answers")
    machines = prices.machine_hour * max(workers, 1) * span_us / _HOUR * rows / max(answered, rows)
    people, calls = prices.review * reviews, prices.prediction * rows
    value = (machines + people + calls) / rows * 1000
    bound = prices.per_1000
    over = bound is not None and value > bound
    parts = {"machines": machines, "reviews": people, "predictions": calls}
    most = max(parts, key=lambda name: parts[name])
    return Reading(
        Family.COST, "per_1000", "", value, bound, over, n=rows, unit=prices.unit, details=parts,
        where=f"1,000 predictions cost {value:.4g} {prices.unit}, most of it for {most}" if over else "",
    )  # fmt: skip
