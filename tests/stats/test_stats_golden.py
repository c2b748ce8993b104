"""Every reference value from R packages and papers, by name."""

import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import references

from lpca.stats.proportions import (
    min_n_equivalence,
    ratio_score,
    ratio_test,
    tango,
    wilson,
    wilson_threshold,
)
from lpca.stats.tables import Interval, PairedTable
from lpca.stats.verdicts import holm

GOLDEN = json.loads((Path(__file__).parent / "golden_statistics.json").read_text())


def table_of(inputs: dict[str, Any]) -> PairedTable:
    return PairedTable(*(inputs[cell] for cell in "abcd"))


def on_table(interval: Callable[[PairedTable, float], Interval]) -> Callable[..., Any]:
    return lambda inputs: list(asdict(interval(table_of(inputs), inputs["conf"])).values())


def adjusted_by(method: str) -> Callable[..., Any]:
    def adjust(inputs: dict[str, Any]) -> list[float]:
        from statsmodels.stats.multitest import multipletests

        return list(multipletests(inputs["p"], method=method)[1])

    return adjust


def wilcoxon(inputs: dict[str, Any]) -> dict[str, float]:
    from scipy.stats import wilcoxon as scipy_wilcoxon

    plus = scipy_wilcoxon(inputs["diff"], alternative="greater", method="exact").statistic
    p = scipy_wilcoxon(inputs["diff"], method="exact").pvalue
    return {"W_plus": float(plus), "p": float(p)}


def paired_t(inputs: dict[str, Any]) -> dict[str, Any]:
    from scipy.stats import ttest_1samp

    test, limits = (
        ttest_1samp(inputs["diff"], 0.0),
        references.student(inputs["diff"]),
    )
    return {"t": test.statistic, "p": test.pvalue, "ci": [limits.low, limits.high]}


def pass_by_overlap(inputs: dict[str, Any]) -> int:
    reference = wilson(inputs["k_ref"], inputs["n"], inputs["conf"]).low
    ceilings = (wilson(k, inputs["n"], inputs["conf"]).high for k in range(inputs["n"]))
    return sum(high < reference for high in ceilings) - 1


def two_sample_power(p1: float, p2: float, n: float, alpha: float) -> float:
    # R's power.prop.test: a pooled and an unpooled normal approximation, one tail
    from scipy.stats import norm

    mean = (p1 + p2) / 2
    pooled, own = 2 * mean * (1 - mean), p1 * (1 - p1) + p2 * (1 - p2)
    z = norm.isf(alpha / 2)
    return float(norm.cdf((n**0.5 * abs(p1 - p2) - z * pooled**0.5) / own**0.5))


def two_sample_n(inputs: dict[str, Any]) -> float:
    from scipy.optimize import brentq

    def short(n: float) -> float:
        return two_sample_power(inputs["p1"], inputs["p2"], n, inputs["alpha"]) - inputs["power"]

    return float(brentq(short, 2, 1000))


METHODS: dict[str, Callable[[dict[str, Any]], Any]] = {
    "tango_paired_diff_ci": on_table(tango),
    "newcombe_paired_diff_ci_method10": on_table(references.newcombe),
    "bonett_price_paired_diff_ci": on_table(references.bonett_price),
    "agresti_min_paired_diff_ci": on_table(references.agresti_min),
    "tang_nam_blackwelder_paired_ratio_score_ci": on_table(ratio_score),
    "bonett_price_paired_ratio_hybrid_wilson_ci": on_table(references.ratio_bonett_price),
    "mcnemar_exact_two_sided": lambda i: references.mcnemar(table_of(i)),
    "mcnemar_midp_two_sided": lambda i: references.mcnemar_midp(table_of(i)),
    "mcnemar_asymptotic_no_cc": lambda i: references.mcnemar_asymptotic(table_of(i)),
    "wilson": lambda i: list(asdict(wilson(i["k"], i["n"], i["conf"])).values()),
    "clopper_pearson": lambda i: list(
        asdict(references.clopper_pearson(i["k"], i["n"], i["conf"])).values()
    ),
    "clopper_pearson_one_sided_lower": lambda i: (
        references.clopper_pearson(i["k"], i["n"], i["conf"], "greater").low
    ),
    "tost_paired_tango_score": lambda i: asdict(
        references.tost(table_of(i), i["margin"], i["alpha"])
    ),
    "paired_ratio_score_test_greater": lambda i: ratio_test(table_of(i), i["phi0"]),
    "holm": lambda i: holm(i["p"]),
    "simes-hochberg": adjusted_by("simes-hochberg"),
    "fdr_bh": adjusted_by("fdr_bh"),
    "bonferroni": adjusted_by("bonferroni"),
    "power_two_indep_props_R": lambda i: two_sample_power(i["p1"], i["p2"], i["n"], i["alpha"]),
    "samplesize_two_indep_props_R": two_sample_n,
    "power_mcnemar_exact_directional": lambda i: references.power_mcnemar_exact_directional(
        i["pb"], i["pc"], i["n"], i["alpha"]
    ),
    "sign_flip_permutation_mean_exact_two_sided": lambda i: references.sign_flip_test(i["diff"]),
    "sign_flip_permutation_mean_exact_greater": lambda i: references.sign_flip_test(
        i["diff"], "greater"
    ),
    "paired_t": paired_t,
    "sign_evalue_beta11_two_sided": lambda i: references.sign_evalue(i["b"], i["c"]),
    "sign_evalue_beta11_truncated_gt_half": lambda i: references.sign_evalue(
        i["b"], i["c"], "greater"
    ),
    "wilcoxon_signed_rank_exact_two_sided": wilcoxon,
    "max_k_with_wilson_high_below_wilson_low": pass_by_overlap,
    "min_k_wilson_low_ge": lambda i: wilson_threshold(i["n"], i["threshold"], i["conf"]),
    "min_n_tost_tango_zero_discordant": lambda i: min_n_equivalence(i["margin"], i["alpha"]),
}


@pytest.mark.parametrize("case", GOLDEN, ids=[case["name"] for case in GOLDEN])
def test_reference_value(case: dict[str, Any]) -> None:
    got = METHODS[case["method"]](case["inputs"])
    expected = case["expected"]
    if isinstance(expected, dict):
        assert got.keys() == expected.keys()
        for name, value in expected.items():
            assert got[name] == pytest.approx(value, abs=case["tol"], rel=0)
    else:
        assert got == pytest.approx(expected, abs=case["tol"], rel=0)
