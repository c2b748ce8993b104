"""What to do next is one sentence, and fits the cause."""

from __future__ import annotations

import re

import pytest
from drawn_evidence import LEVELS, make_gate, outcomes
from gate_project import ROOT

from lpca.evidence.model import GateResult
from lpca.judge.decide import judge_gate
from lpca.report.next_steps import FRESH_CHECKS, MENDS, Found, next_step
from lpca.report.sentences import closing
from lpca.stats.verdicts import Verdict
from lpca.validity.catalogue import CHECKS

PAGE = ROOT / "docs" / "validity.md"
READS = {"text": "p1 - p0 > 0.20"}
BAND = {"band": "0.15 < p0 < 0.35"}


def judged(claims, counts):
    result = judge_gate(make_gate(claims, [*counts]), outcomes(counts), LEVELS)
    return result, {name: count / 200 for name, count in counts.items()}


def step(verdict, claims, counts, failed=(), required=True):
    result, rates = judged(claims, counts)
    gates = [GateResult("gate0", result.verdict, (), result.criteria)] if required else []
    own = [] if required else result.deciding
    return next_step(Found(verdict, own, rates, failed, gates))


@pytest.mark.parametrize(
    ("claims", "counts", "told"),
    [
        (
            READS,
            {"p0": 62, "p1": 68},
            "B cannot read this text: p1 is 34 %, p0 31 %; take a larger receiver or shorter",
        ),
        (BAND, {"p0": 150}, "B answers without any message: p0 is 75 %; take answers that its own"),
        (BAND, {"p0": 8}, "without a message B is misled: p0 is 4 %; take options that it likes"),
        (
            {"path": "abs(embed - p1) < 0.05"},
            {"p1": 196, "embed": 100},
            "embed is 50 %, p1 is 98 %: the injection path changes the message's own embeddings",
        ),
        ({"rate": "p1 > 0.9"}, {"p1": 100}, "gate0 must hold before anything of this gate can"),
    ],
)
def test_an_invalid_gate_names_what_its_required_gate_lacks(claims, counts, told, monkeypatch):
    monkeypatch.setitem(__import__("drawn_evidence").STEPS, "embed", 23)
    assert step(Verdict.INVALID, claims, counts).startswith(told)


def test_a_failed_check_is_mended_before_all_else():
    found = step(Verdict.INVALID, READS, {"p0": 62, "p1": 68}, ["null_is_zero", "prefix_used"])
    assert found == (
        "inject zero vectors, not decode(0), which has a bias (null_is_zero), then mend "
        "prefix_used; then run again"
    )
    assert "mend what new_check has found" in step(
        Verdict.INVALID, READS, {"p0": 62, "p1": 68}, ["new_check"]
    )
    assert step(Verdict.INVALID, READS, {"p0": 62, "p1": 68}, ["looks_accounted"]).startswith(
        "choose on validation"
    )


@pytest.mark.parametrize(
    ("claims", "counts", "told"),
    [
        ({"rate": "p1 > 0.9"}, {"p1": 186}, "declare a next run of n: "),
        ({"rate": "p1 > 0.9"}, {"p1": 178}, "no more episodes of this kind would show that p1 is"),
        (READS, {"p0": 62, "p1": 90}, "B cannot read this text: p1 is 45 %, p0 31 %"),
    ],
)
def test_an_undecided_gate_names_how_many_or_that_more_do_not_help(claims, counts, told):
    assert step(Verdict.INCONCLUSIVE, claims, counts, required=False).startswith(told)


@pytest.mark.parametrize("verdict", [Verdict.PASS, Verdict.FAIL, Verdict.NOT_MEASURED])
def test_other_verdicts_have_none(verdict):
    assert step(verdict, READS, {"p0": 62, "p1": 68}) == ""


def test_the_sentence_ends_with_the_step():
    told = closing(Verdict.INVALID, (), "take a larger receiver")
    assert told.endswith("neither for nor against it; take a larger receiver.")
    assert closing(Verdict.INVALID, ()).endswith("neither for nor against it.")


def test_each_check_has_a_step_of_its_own():
    assert {*MENDS, *FRESH_CHECKS} == set(CHECKS)
    assert len(set(MENDS.values())) == len(MENDS)
    for name in CHECKS:
        told = step(Verdict.INVALID, READS, {"p0": 62, "p1": 68}, [name])
        assert told.startswith(MENDS.get(name, "choose on validation")), name


def test_a_step_speaks_of_what_its_check_is_about():
    rows = re.findall(r"^\| `(\w+)` \| (.*) \|$", PAGE.read_text(), re.M)
    about = {name: words(told) for name, told in rows}
    assert [name for name, told in MENDS.items() if not about[name] & words(told)] == []


def words(text):
    return set(re.findall(r"[a-z]{5,}", text.lower()))
