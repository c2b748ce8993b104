"""O'Brien-Fleming boundaries: a few looks fixed beforehand, at little cost in episodes."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from lpca.stats._normal import one_sided_z, upper_tail

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Array = npt.NDArray[np.float64]

PANEL_NODES = 12
REACH = 9.0
"""How many standard deviations of the final sum below the boundary are integrated over."""


@dataclass(frozen=True)
class LookSchedule:
    """By look: the z a score must exceed, and the one-sided p-value it must stay below."""

    z: tuple[float, ...]
    p: tuple[float, ...]


@lru_cache(maxsize=64)
def obrien_fleming(looks: int, alpha: float = 0.025) -> LookSchedule:
    """Boundaries for `looks` equally spaced looks, crossed with probability alpha in all.

    z_k = C sqrt(looks / k), so that partial sums face one constant boundary; C by recursive
    numerical integration to 1e-9. One-sided. Assumes looks fixed beforehand at equal numbers of
    new episodes, and scores that are normal with independent increments: an approximation for
    counts, so keep at least some fifty episodes per look. Raises ValueError for looks < 1 or alpha
    outside (0, 0.5). O'Brien and Fleming (1979), Biometrics 35:549; Armitage, McPherson and Rowe
    (1969), J. R. Stat. Soc. A 132:235; Jennison and Turnbull (2000), section 2.4 and chapter 19.
    """
    from scipy.optimize import brentq

    if looks < 1:
        raise ValueError(f"at least one look is needed, got {looks}")
    single = one_sided_z(alpha)
    depth, weights, kernel = _grid(looks)

    def excess(boundary: float) -> float:
        return _crossing(boundary, looks, depth, weights, kernel) - alpha

    root = math.sqrt(looks)
    boundary = float(brentq(excess, 0.9 * single * root, 2.0 * (single + 1.0) * root, xtol=1e-11))
    z = tuple(boundary / math.sqrt(k) for k in range(1, looks + 1))
    return LookSchedule(z, tuple(upper_tail(value) for value in z))


def _crossing(boundary: float, looks: int, depth: Array, weights: Array, kernel: Array) -> float:
    """P(some partial sum of `looks` standard normals exceeds the boundary)."""
    import numpy as np

    density = np.exp(-0.5 * (boundary - depth) ** 2) / math.sqrt(2.0 * math.pi)
    crossed = upper_tail(boundary)
    beyond = np.array([upper_tail(below) for below in depth])
    for _ in range(looks - 1):
        crossed += float((density * weights) @ beyond)
        density = kernel @ (density * weights)
    return crossed


def _grid(looks: int) -> tuple[Array, Array, Array]:
    """Nodes below the boundary, their Gauss-Legendre weights, and the step between them."""
    import numpy as np

    node, weight = np.polynomial.legendre.leggauss(PANEL_NODES)
    panels = math.ceil(2.0 * REACH * math.sqrt(looks))
    depth = (np.arange(panels)[:, None] + 0.5 * (node + 1.0)[None, :]).ravel()
    kernel = np.exp(-0.5 * (depth[:, None] - depth[None, :]) ** 2) / math.sqrt(2.0 * math.pi)
    return depth, np.tile(0.5 * weight, panels), kernel
