"""Paired intervals and tests, verdicts, power and sequential rules: pure functions on counts.

Importing it costs milliseconds: numpy and scipy are loaded by the functions that need them.
"""

from lpca.stats.anytime import Evidence, decide_anytime, evidence
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
from lpca.stats.group_sequential import LookSchedule, obrien_fleming
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
from lpca.stats.sequential import betting_evalue, log_betting_evalue, log_sign_evalue, sign_evalue
from lpca.stats.tables import Interval, PairedTable
from lpca.stats.truth import Truth
from lpca.stats.verdicts import AnyOf, Assessment, Verdict, any_of, decide, gate_verdict

__all__ = [
    "AnyOf",
    "Assessment",
    "Evidence",
    "GatePower",
    "Interval",
    "LookSchedule",
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
    "betting_evalue",
    "bonett_price",
    "clopper_pearson",
    "decide",
    "decide_anytime",
    "evidence",
    "gain_counts",
    "gain_interval",
    "gain_support",
    "gain_test",
    "gain_value",
    "gate_power",
    "gate_verdict",
    "holm",
    "log_betting_evalue",
    "log_sign_evalue",
    "mcnemar",
    "mean_difference",
    "min_n_equivalence",
    "newcombe",
    "obrien_fleming",
    "power",
    "power_mcnemar_exact_directional",
    "rate_test",
    "ratio_bonett_price",
    "ratio_score",
    "ratio_test",
    "required_n",
    "sign_evalue",
    "sign_flip_test",
    "tango",
    "tango_test",
    "tost",
    "wilson",
    "wilson_threshold",
]
