"""Paired intervals and tests, verdicts, power and sequential rules: pure functions on counts.

Importing it costs milliseconds: numpy and scipy are loaded by the functions that need them.
"""

from lpca.stats.assessment import (
    assess,
    assess_band,
    assess_difference,
    assess_equivalence,
    assess_gain,
    assess_rate,
    assess_ratio,
)
from lpca.stats.design import power, power_mcnemar_exact_directional, required_n
from lpca.stats.gain import (
    ValueCounts,
    gain_counts,
    gain_interval,
    gain_support,
    gain_test,
    gain_value,
)
from lpca.stats.gate_design import GatePower, gate_power
from lpca.stats.multiplicity import holm
from lpca.stats.paired import (
    Tost,
    agresti_min,
    bonett_price,
    mcnemar,
    min_n_equivalence,
    newcombe,
    tango,
    tango_test,
    tost,
)
from lpca.stats.proportions import clopper_pearson, rate_test, wilson, wilson_threshold
from lpca.stats.ratio import ratio_bonett_price, ratio_score, ratio_test
from lpca.stats.scores import MeanDifference, mean_difference, sign_flip_test
from lpca.stats.tables import Interval, PairedTable
from lpca.stats.truth import Truth
from lpca.stats.verdicts import AnyOf, Assessment, Verdict, any_of, decide, gate_verdict

__all__ = [
    "AnyOf",
    "Assessment",
    "GatePower",
    "Interval",
    "MeanDifference",
    "PairedTable",
    "Tost",
    "Truth",
    "ValueCounts",
    "Verdict",
    "agresti_min",
    "any_of",
    "assess",
    "assess_band",
    "assess_difference",
    "assess_equivalence",
    "assess_gain",
    "assess_rate",
    "assess_ratio",
    "bonett_price",
    "clopper_pearson",
    "decide",
    "gain_counts",
    "gain_interval",
    "gain_support",
    "gain_test",
    "gain_value",
    "gate_power",
    "gate_verdict",
    "holm",
    "mcnemar",
    "mean_difference",
    "min_n_equivalence",
    "newcombe",
    "power",
    "power_mcnemar_exact_directional",
    "rate_test",
    "ratio_bonett_price",
    "ratio_score",
    "ratio_test",
    "required_n",
    "sign_flip_test",
    "tango",
    "tango_test",
    "tost",
    "wilson",
    "wilson_threshold",
]
