"""Faults planted into clean tables, written without knowledge of the linter that has to find them.

`draw(seed)` gives one `Planted`: a clean `World` with one fault of a kind in it. `clean(seed)` gives a world
without any. `KINDS` are the kinds that the linter could be tuned on; `heldout.HELD_OUT` (a fifth of all) were
set aside meanwhile: `draw(seed, more=HELD_OUT)`. A plant is found when a finding of one of the families in
`accepts` names `column`; where `column` is empty, when there is a finding of one of these families at all.

Families: target-copy, known-later, too-good, crossing-rows, group-overlap, time-shuffled, id, capped-target,
rare-category, skew, imbalance.
"""

from .plant import KINDS, Planted, clean, draw
from .worlds import World, clean_worlds

__all__ = ["KINDS", "Planted", "World", "clean", "clean_worlds", "draw"]
