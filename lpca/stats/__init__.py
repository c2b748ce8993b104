"""Paired intervals and tests, verdicts, power and sequential rules: pure functions on counts.

Importing it costs milliseconds: numpy and scipy are loaded by the functions that need them.
"""

from lpca.stats.assessment import Assessment, Sample, assess, assess_counts
from lpca.stats.claims import (
    Approximate,
    Band,
    BoundsComparison,
    Claim,
    Difference,
    Equivalence,
    Gain,
    Rate,
    Ratio,
    Relation,
    beyond,
)
from lpca.stats.gain import ValueCounts, gain_counts, gain_interval, gain_support, gain_test
from lpca.stats.planning import GatePower, gate_power, power, required_n
from lpca.stats.proportions import (
    mcnemar,
    min_n_equivalence,
    rate_test,
    ratio_score,
    ratio_test,
    tango,
    tango_test,
    wilson,
    wilson_threshold,
)
from lpca.stats.scores import MeanDifference, mean_difference
from lpca.stats.screening import Screened, screen
from lpca.stats.sequential import (
    Boundaries,
    EValues,
    decide_anytime,
    evalues,
    log_betting_evalue,
    obrien_fleming,
)
from lpca.stats.tables import Interval, PairedTable, Proportion
from lpca.stats.truth import Truth
from lpca.stats.verdicts import AnyOf, Verdict, any_of, decide, gate_verdict, holm

__all__ = [
    "AnyOf",
    "Approximate",
    "Assessment",
    "Band",
    "Boundaries",
    "BoundsComparison",
    "Claim",
    "Difference",
    "EValues",
    "Equivalence",
    "Gain",
    "GatePower",
    "Interval",
    "MeanDifference",
    "PairedTable",
    "Proportion",
    "Rate",
    "Ratio",
    "Relation",
    "Sample",
    "Screened",
    "Truth",
    "ValueCounts",
    "Verdict",
    "any_of",
    "assess",
    "assess_counts",
    "beyond",
    "decide",
    "decide_anytime",
    "evalues",
    "gain_counts",
    "gain_interval",
    "gain_support",
    "gain_test",
    "gate_power",
    "gate_verdict",
    "holm",
    "log_betting_evalue",
    "mcnemar",
    "mean_difference",
    "min_n_equivalence",
    "obrien_fleming",
    "power",
    "rate_test",
    "ratio_score",
    "ratio_test",
    "required_n",
    "screen",
    "tango",
    "tango_test",
    "wilson",
    "wilson_threshold",
]
