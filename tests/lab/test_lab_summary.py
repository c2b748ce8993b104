"""What a codec came to, and its signature, against slow definitions."""

from __future__ import annotations

import statistics

import pytest
from lab_evidence import N, evidence
from whole_evidence import typed

from lpca.lab.summary import (
    MAGIC_PROMPT,
    NOTHING,
    PARTLY,
    TRANSMITS,
    Bits,
    not_measured,
    summary_of,
)
from lpca.stats.proportions import tango
from lpca.stats.scores import mean_difference
from lpca.stats.tables import PairedTable
from lpca.stats.verdicts import Verdict

FLAT = [2.0, 2.2, 1.8, 2.1, 1.9] * 8
SAME = {"normal": 3.0, "shuffle": 3.0}
GUESSES = {"normal": 15, "shuffle": 15}


def summed_up(held):
    return summary_of(typed(held))


def failed(**changes):
    return summed_up(evidence(verdict="FAIL", criteria=[{"id": "a", "verdict": "FAIL"}], **changes))


class TestNumbers:
    def test_success_is_the_evidences_own(self):
        held = evidence()
        rate = summed_up(held).conditions["normal"]
        assert (rate.successes, rate.n, rate.rate) == (54, N, 0.9)
        assert [rate.low, rate.high] == held["conditions"]["normal"]["likelihood"]["interval"]

    @pytest.mark.parametrize("other", ["p0", "null", "shuffle"])
    def test_success_is_paired_by_episode(self, other):
        held = evidence()
        pairs = [
            (e["outcomes"]["normal"]["likelihood"], e["outcomes"][other]["likelihood"])
            for e in held["episodes"]
        ]
        table = PairedTable(
            *(pairs.count(pair) for pair in [(True, True), (True, False)]),
            *(pairs.count(pair) for pair in [(False, True), (False, False)]),
        )
        effect, interval = summed_up(held).effects[f"normal - {other}"], tango(table, 0.95)
        assert effect.mean == table.difference
        assert (effect.low, effect.high) == (interval.low, interval.high)

    @pytest.mark.parametrize("other", ["p0", "null", "shuffle"])
    def test_nll_is_of_the_right_answer_and_paired(self, other):
        held = evidence()
        gaps = []
        for one in held["episodes"]:
            right, wrong = (
                one["outcomes"][name]["scores"][one["answer"]] for name in ("normal", other)
            )
            gaps.append(right - wrong)
        summary = summed_up(held)
        found, interval = summary.nll_gaps[f"{other} - normal"], mean_difference(gaps, 0.95)
        assert found.mean == pytest.approx(statistics.fmean(gaps), abs=1e-12)
        assert (found.low, found.high) == pytest.approx((interval.low, interval.high), abs=1e-9)
        assert found.mean == pytest.approx(summary.nll[other] - summary.nll["normal"], abs=1e-12)

    def test_the_specs_score_counts(self):
        held = evidence(score="greedy")
        assert summed_up(held).effects["normal - shuffle"].mean == 0.0

    def test_similarity(self):
        summary = summed_up(evidence())
        assert (summary.cosine, summary.norm_ratio) == (0.25, 1.5)

    def test_bits_are_nominal_unless_the_codec_has_a_finite_rate(self):
        assert summed_up(evidence()).bits == Bits(4 * 128 * 32, "nominal")
        held = evidence()
        held["codec"]["bits"] = 40.0
        assert summed_up(held).bits == Bits(40.0, "finite")

    def test_training_seconds_of_a_resumed_training_are_scaled_up(self):
        held = evidence()
        assert summed_up(held).seconds.training == 80.0
        held["codec"]["trained"] = {"seconds": 20.0, "resumed_at_step": 30}
        seconds = summed_up(held).seconds
        assert (seconds.training, seconds.resumed_at) == (80.0, 30)

    def test_evaluation_seconds_count_only_where_all_was_computed(self):
        assert summed_up(evidence()).seconds.evaluation == 10.0
        held = evidence()
        held["cache"]["random"][0]["cached"] = True
        assert summed_up(held).seconds.evaluation is None

    @pytest.mark.parametrize("verdict", ["INVALID", "NOT MEASURED"])
    def test_nothing_is_read_of_what_must_not_be(self, verdict):
        summary = summed_up(evidence(verdict=verdict, reasons=["null_is_zero: it is not"]))
        assert not summary.readable
        assert (summary.conditions, summary.effects, summary.cosine) == ({}, {}, None)
        assert (summary.signature, summary.why) == ("", "null_is_zero: it is not")


class TestLoss:
    def test_means_of_the_first_and_last_tenth(self):
        loss = summed_up(evidence(losses=[float(100 - i) for i in range(100)])).loss
        assert (loss.first, loss.last, loss.fell) == (95.5, 5.5, True)

    @pytest.mark.parametrize(
        ("losses", "fell"),
        [(FLAT, False), (FLAT[::-1], False), ([5.0, 4.0, 3.0, 2.0], None), ([3.0], None)],
    )
    def test_when_it_fell(self, losses, fell):
        assert summed_up(evidence(losses=losses)).loss.fell is fell

    def test_each_stage_by_itself(self):
        held = evidence(losses=[9.0, 9.1, 8.9, 9.05, 8.95, 9.0] * 2 + FLAT[:12])
        held["codec"]["recipe"] = {"curriculum": [{"steps": 12}, {"steps": 12}]}
        assert summed_up(held).loss.fell is False, "from one stage to the next is no fall"
        held = evidence(losses=[9.0 - 0.5 * i for i in range(12)] + FLAT[:12])
        held["codec"]["recipe"] = {"curriculum": [{"steps": 12}, {"steps": 12}]}
        loss = summed_up(held).loss
        assert (loss.first, loss.fell) == (8.5, True)

    def test_a_codec_without_a_history(self):
        assert summed_up(evidence(losses=[])).loss is None


class TestSignature:
    def test_a_passing_gate_transmits(self):
        assert summed_up(evidence()).signature == TRANSMITS

    def test_above_shuffle_without_passing(self):
        summary = failed()
        assert summary.signature == PARTLY
        assert "not met: a" in summary.why

    def test_no_message_matters_though_success_rose(self):
        summary = failed(rates={"normal": 48, "shuffle": 48}, nll=SAME, losses=FLAT)
        assert summary.effects["normal - p0"].above
        assert summary.signature == MAGIC_PROMPT

    def test_no_message_matters_though_success_fell(self):
        summary = failed(rates={"normal": 1, "shuffle": 1}, nll=SAME, losses=FLAT)
        assert summary.signature == MAGIC_PROMPT

    def test_no_message_matters_though_the_answer_became_likelier(self):
        summary = failed(rates=GUESSES, nll={"normal": 1.0, "shuffle": 1.0}, losses=FLAT)
        assert summary.signature == MAGIC_PROMPT
        gap = summary.nll_gaps["p0 - normal"]
        (said,) = (one for one in summary.moved if "nats likelier" in one)
        assert said.startswith(f"the right answer {gap.mean:+.2f} [")

    def test_no_message_matters_though_the_loss_fell(self):
        summary = failed(rates=GUESSES, nll=SAME)
        assert summary.signature == MAGIC_PROMPT
        assert summary.moved == ["training loss 2.92 → 1.12"]

    def test_shuffle_above_normal_is_no_transmission(self):
        summary = failed(rates={"normal": 3, "shuffle": 54}, nll=SAME)
        assert summary.effects["normal - shuffle"].below
        assert summary.signature == MAGIC_PROMPT

    def test_nothing_learned(self):
        summary = failed(rates=GUESSES, nll=SAME, losses=FLAT)
        assert (summary.moved, summary.signature) == ([], NOTHING)

    def test_what_broke_has_none(self):
        summary = not_measured("CodecError: no")
        assert (summary.verdict, summary.signature) == (Verdict.NOT_MEASURED, "")
        assert summary.why == "CodecError: no"
