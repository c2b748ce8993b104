"""Methods a criterion may ask for: those that decide claims here, and those read to be refused."""

from __future__ import annotations

from lpca.gatespec.model import Criterion, Evaluation, Gate
from lpca.stats import (
    Approximate,
    Band,
    BoundsComparison,
    Claim,
    Difference,
    Equivalence,
    Gain,
    Rate,
    Ratio,
)

SOUND: dict[str, tuple[type, ...]] = {
    "tango": (Difference, Equivalence),
    "wilson": (Rate, Band),
    "nam-blackwelder": (Ratio,),
    "multinomial-score": (Gain,),
}
"""By name: the kinds of claim it decides. Each kind has exactly one."""

INDEPENDENT = frozenset(
    {"two-proportion-z", "two-proportions", "z-test", "pooled-z", "unpooled-z"}
    | {"chi2", "chi-squared", "chi-square", "g-test", "fisher", "fisher-exact", "barnard"}
    | {"boschloo", "welch", "t-test", "ttest", "ttest-ind", "student", "mann-whitney"}
    | {"mannwhitneyu", "miettinen-nurminen", "farrington-manning", "agresti-caffo", "wald"}
    | {"newcombe-independent", "independent", "independent-wilson", "two-sample"}
)
"""Methods for two separate samples, as their authors and libraries call them."""

NO_METHOD = frozenset({"none", "point", "point-estimate", "raw", "observed"})
"""Ways to ask for no inference at all."""


def normal_form(name: str) -> str:
    """A method's name in lower case with hyphens."""
    return "-".join(name.strip().lower().replace("_", " ").replace("-", " ").split())


def method_of(claim: Claim) -> str | None:
    """The method that decides a claim; None when no sound one does."""
    if isinstance(claim, Approximate | BoundsComparison):
        return None
    return next(name for name, kinds in SOUND.items() if isinstance(claim, kinds))


def is_unpaired(method: str | None, claim: Claim) -> bool:
    """Whether the method treats the two conditions of a claim as separate samples."""
    if isinstance(claim, Rate | Band):
        return False
    return method in INDEPENDENT or method == "wilson"


def levels_of(criterion: Criterion, evaluation: Evaluation) -> tuple[float, float]:
    """The confidence a criterion is decided at, as a one-sided claim and as an equivalence."""
    if criterion.confidence is not None:
        return criterion.confidence, criterion.confidence
    return evaluation.confidence, evaluation.equivalence_confidence


def passing_levels(gate: Gate, levels: tuple[float, float]) -> tuple[float, float]:
    """The confidences at which criteria let their gate pass, from those they are decided at.

    Where any of m k suffices, the first to pass must do so at 1/m of the alpha (Holm).
    """
    if not gate.any_k:
        return levels
    one, two = (1.0 - (1.0 - level) / len(gate.family) for level in levels)
    return one, two
