"""Of all rates that an adversary leaves open, those at which a gate passes most easily.

A grid of rates finds what one claim leaves open. What several leave open together lies between its
points: `normal - random > 0` and `random - shuffle > -0.1` let a prefix through that reads no
message, if noise does a little worse than it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from lpca.checker.adversaries import Scene, World
    from lpca.stats.batch import Array

STEPS = (
    np.linspace(0.0, 1.0, 21),
    np.linspace(0.0, 1.0, 21),
    np.linspace(-0.1, 0.1, 9),
    np.linspace(-0.02, 0.02, 9),
)
"""Rates that are tried for each condition in turn: all, then those near the best so far."""
STARTS = (0.15, 0.35, 0.55, 0.75, 0.95)
"""Rates of the conditions that are alike from which the search sets out."""
HOPELESS = -8.0
"""Where after the first round some criterion lies so many standard scores short, none goes on."""
CAPPED = 50.0
"""Standard scores beyond which nothing becomes more likely."""
LOGISTIC = 1.7
"""By which a score is multiplied for the logistic curve to be close to the normal one."""


@dataclass(frozen=True)
class Freedom:
    """What an adversary leaves open.

    Args:
        alike: conditions of one rate, which may be any.
        free: conditions that may each have any rate.
        fixed: the rates of the others.
    """

    alike: tuple[str, ...]
    free: tuple[str, ...]
    fixed: Mapping[str, float]

    @property
    def names(self) -> tuple[str, ...]:
        """Every condition."""
        return (*self.alike, *self.free, *self.fixed)

    def rates(self, variables: Array) -> Array:
        """[points, 1 + free] to [points, conditions]."""
        count = len(variables)
        same = np.repeat(variables[:, :1], len(self.alike), axis=1)
        rest = np.broadcast_to(np.array([*self.fixed.values()], dtype=float), (count, self.others))
        return np.concatenate([same, variables[:, 1:], rest], axis=1)

    @property
    def others(self) -> int:
        """How many conditions are fixed."""
        return len(self.fixed)

    def forms(self) -> Iterator[list[tuple[str, ...]]]:
        """How outcomes of an episode hang together: which conditions share one draw."""
        texts = tuple(name for name in self.fixed if name in ("p1", "embed"))
        rest: list[tuple[str, ...]] = [
            (name,) for name in self.names if name not in (*self.alike, *texts)
        ]
        rest += [texts] if texts else []
        yield [self.alike, *rest]
        yield [*((name,) for name in self.alike), *rest]
        yield [self.names]


Clearance = Callable[[Sequence[str], "Array", Sequence[Sequence[str]]], "Array"]
"""From conditions, [points, conditions] rates and shared draws to [points, criteria] scores."""


def easiest(
    scene: Scene, freedom: Freedom, clearance: Clearance, thorough: bool = True
) -> Iterator[World]:
    """The worlds in which all criteria are shown most easily, one for each way to hang together.

    Each rate in turn is moved to where the product of the criteria's chances is largest.
    """
    starts = (*(STARTS if thorough else STARTS[1::2]), scene.rate("normal"))
    for draws in freedom.forms():
        best = np.array([[start, *map(scene.rate, freedom.free)] for start in starts])
        for number, steps in enumerate(STEPS if thorough else STEPS[1:]):
            for place in range(best.shape[1]):
                trial = np.repeat(best[:, None, :], len(steps), axis=1)
                trial[:, :, place] = steps if steps[0] == 0.0 else trial[:, :, place] + steps
                trial = np.clip(trial, 0.0, 1.0).reshape(-1, best.shape[1])
                found = clearance(freedom.names, freedom.rates(trial), draws)
                chosen = chance(found).reshape(len(best), -1).argmax(axis=1)
                best = trial.reshape(len(best), -1, best.shape[1])[np.arange(len(best)), chosen]
            reached = clearance(freedom.names, freedom.rates(best), draws).min(axis=1).max()
            if number == 0 and reached < HOPELESS:
                break
        else:
            rates = freedom.rates(best)
            found = chance(clearance(freedom.names, rates, draws))
            chosen_rates = rates[int(found.argmax())].tolist()
            at = dict(zip(freedom.names, chosen_rates, strict=True))
            yield scene.world([{name: at[name] for name in draw} for draw in draws])


def chance(clearance: Array) -> Array:
    """[points]: about the logarithm of the chance that all criteria are shown."""
    scores = np.clip(np.nan_to_num(clearance, nan=-CAPPED), -CAPPED, CAPPED)
    found: Array = -np.logaddexp(0.0, -LOGISTIC * scores).sum(axis=1)
    return found


def shares_of(rates: Array, draws: Sequence[Sequence[int]]) -> Iterator[tuple[list[int], Array]]:
    """Every pattern of outcomes, and by point how often it occurs.

    Args:
        rates: [points, conditions].
        draws: which of the conditions share one draw of difficulty, by their places.
    """
    for bits in product((0, 1), repeat=rates.shape[1]):
        share = np.ones(len(rates))
        for draw in draws:
            succeed = [rates[:, i] for i in draw if bits[i]]
            fail = [rates[:, i] for i in draw if not bits[i]]
            below = np.minimum.reduce(succeed) if succeed else 1.0
            above = np.maximum.reduce(fail) if fail else 0.0
            share = share * np.maximum(0.0, below - above)
        yield list(bits), share
