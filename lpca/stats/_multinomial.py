"""The probability that a test passes on multinomial counts: enumerated, or simulated."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import log, log1p, prod
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Array = npt.NDArray[np.float64]
    Passes = Callable[[Sequence[Array], int], npt.NDArray[np.bool_]]

OMITTED = 1e-11
"""Mass left out at either end of each count's own binomial when outcomes are enumerated."""
ENUMERABLE = 400_000
"""Most outcomes that are enumerated; beyond, they are drawn."""
DRAWS = 20_000
SEED = 20260122


@dataclass(frozen=True)
class Counts:
    """Counts of n episodes over kinds with known probabilities."""

    probabilities: tuple[float, ...]
    n: int

    def __post_init__(self) -> None:
        if self.n < 1:
            raise ValueError(f"n must be at least 1, got {self.n}")

    @property
    def enumerable(self) -> bool:
        """Whether the likely outcomes are few enough to be gone through one by one."""
        return prod(len(_likely(self.n, p)) for _, p in self._free) <= ENUMERABLE

    def probability(self, passes: Passes) -> float:
        """P(passes): exact to 2e-11 per kind where enumerable, otherwise the share of draws."""
        return self._enumerated(passes) if self.enumerable else self._drawn(passes)

    @property
    def _ordered(self) -> list[tuple[int, float]]:
        """Possible kinds, most variable last: its count is the remainder and costs no axis."""
        possible = [(kind, p) for kind, p in enumerate(self.probabilities) if p > 0.0]
        return sorted(possible, key=lambda item: item[1] * (1.0 - item[1]))

    @property
    def _free(self) -> list[tuple[int, float]]:
        return self._ordered[:-1]

    def _enumerated(self, passes: Passes) -> float:
        import numpy as np

        n, table = self.n, _log_factorials(self.n)
        counts: list[Array] = [np.zeros(()) for _ in self.probabilities]
        rest, mass = np.full((), float(n)), np.full((), table[n])
        axes = np.ix_(*(np.array(_likely(n, p), dtype=np.intp) for _, p in self._free))
        for (kind, p), k in zip(self._free, axes, strict=True):
            counts[kind] = k.astype(np.float64)
            rest = rest - k
            mass = mass + (k * log(p) - table[k])
        last, p = self._ordered[-1]
        possible, rest = rest >= 0.0, np.maximum(rest, 0.0)
        counts[last] = rest
        mass = mass + rest * log(p) - table[rest.astype(np.intp)]
        return float(np.exp(mass)[possible & passes(counts, n)].sum())

    def _drawn(self, passes: Passes) -> float:
        import numpy as np

        shares = np.array(self.probabilities)
        drawn = np.random.default_rng(SEED).multinomial(self.n, shares / shares.sum(), size=DRAWS)
        return float(passes(list(drawn.T.astype(np.float64)), self.n).mean())


@lru_cache(maxsize=4096)
def _likely(n: int, p: float) -> range:
    """All but the `OMITTED` lowest and highest mass of a binomial count."""
    import numpy as np

    if p >= 1.0:
        return range(n, n + 1)
    table, k = _log_factorials(n), np.arange(n + 1)
    mass = np.exp(table[n] - table - table[::-1] + k * log(p) + (n - k) * log1p(-p))
    low = int(np.searchsorted(np.cumsum(mass), OMITTED))
    high = n - int(np.searchsorted(np.cumsum(mass[::-1]), OMITTED))
    return range(low, high + 1)


@lru_cache(maxsize=64)
def _log_factorials(n: int) -> Array:
    import numpy as np

    return np.concatenate([np.zeros(1), np.cumsum(np.log(np.arange(1.0, n + 1.0)))])
