"""The summary of a gate: plain, whole, and no wider than its terminal."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from whole_evidence import typed

from lpca.evidence.json_form import to_data
from lpca.evidence.model import EpisodeOutcome, KeptEpisode
from lpca.gatespec.claims import parse_claim
from lpca.gatespec.load import load_spec
from lpca.judge.decide import judge
from lpca.judge.outcomes import OutcomeTable
from lpca.pytest_plugin.verdicts import GateVerdict, family_verdict
from lpca.report.layout import fitting, wrapped
from lpca.report.sentences import above_luck, meaning
from lpca.report.terminal import coloured
from lpca.report.terminal import gate_lines as typed_lines
from lpca.stats.proportions import wilson
from lpca.stats.verdicts import Verdict

OPTIONS = ("Oslo", "Rome", "Bern", "Lima")
SPEC = """
version: 1
task: {name: trip, seed: 1}
evaluation: {n: 100}
gates:
  base:
    title: The task is valid
    conditions: [p0, p1]
    criteria:
      - {id: text_helps, claim: p1 - p0 > 0.20, why: a message that is read helps}
  main:
    title: The channel carries the message
    requires: [base]
    conditions: [p0, p1, normal, null, shuffle, static]
    k: {any: FAMILY}
    criteria:
      - {id: normal_above_p0, claim: normal - p0 > 0.10, why: latents help}
      - {id: normal_above_shuffle, claim: normal - shuffle > 0, why: this message helps}
      - {id: NAME, claim: shuffle - p0 < 0, why: a contradicting message misleads}
      - {id: null_equals_p0, claim: abs(null - p0) < 0.30, why: zeros do nothing}
      - {id: above_a_rate, claim: normal > 0.30, why: it is good for something}
"""
SOUND = {"p0": 25, "p1": 98, "normal": 90, "null": 25, "shuffle": 2, "static": 26}
DEAF = {**SOUND, "normal": 31, "shuffle": 32, "p0": 20}
UNDECIDED = {**SOUND, "shuffle": 24}
LONG = "shuffle_stays_below_what_guessing_without_any_message_gives_at_all_places"


@pytest.fixture
def spec(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def load(name="shuffle_below_p0", family="[4, 8]"):
        Path("gate_specs.yaml").write_text(
            SPEC.replace("NAME", name).replace("FAMILY", family), encoding="utf-8"
        )
        return load_spec("gate_specs.yaml")

    return load


def outcomes(rates, n):
    columns = {
        name: tuple((i * step * 37) % 100 < rate for i in range(n))
        for step, (name, rate) in zip((1, 3, 7, 9, 11, 13), rates.items(), strict=True)
    }
    return OutcomeTable(tuple(range(n)), columns)


def evidence_of(spec, rates=SOUND, n=100, faults=(), criteria=None, ties=0, looks=None):
    """What a run would have kept, of outcomes made by hand; the verdicts are judged."""
    spec = replace(spec, evaluation=replace(spec.evaluation, n=n))
    table, gate = outcomes(rates, n), spec.gates["main"]
    failed = {"id": "null_is_zero", "title": "null is exactly zero", "passed": False}
    checks = [{"id": "x", "title": "prompts are equal", "passed": True, "detail": ""}]
    checks += [{**failed, "detail": fault} for fault in faults]
    read = [f"null_is_zero: {fault}" for fault in faults]
    counts = {name: held.count(1) for name, held in table.packed.items()}
    intervals = {name: wilson(count, n, 0.95) for name, count in counts.items()}
    held = {
        name: {"successes": counts[name], "interval": [intervals[name].low, intervals[name].high]}
        for name in counts
    }
    hashed = "0123456789abcdef" * 4
    return {
        **to_data(judge(spec, "main", table, criteria, read)),
        "k": 4,
        "title": gate.title,
        "answers": gate.answers,
        "score": "likelihood",
        "confidence": 0.95,
        "looks": {"used": n, "declared": n, **(looks or {})},
        "required": [to_data(judge(spec, "base", table))],
        "checks": checks,
        "conditions": {
            name: {"n": n, "near_ties": ties, "likelihood": one, "greedy": one}
            for name, one in held.items()
        },
        "receiver": {"name": "smollm2-135m", "dtype": "float32", "device": "cpu"},
        "codec": {"origin": "trained", "seed": 0},
        "hashes": dict.fromkeys(("receiver", "spec", "outcomes", "codec"), hashed),
        "cache": {"p0": [{"key": hashed, "cached": True}]},
        "seconds": {"load": 1.25, "codec": 66.5, "evaluate": 100.0, "check": 12.0},
        "run": hashed[:32],
        "written": "2026-01-01T00:00:00+00:00",
    }


def gate_lines(evidence, verdict, note="", **options):
    return typed_lines(typed(evidence), Verdict(verdict), note, **options)


def text_of(evidence, **options):
    """A summary as running text."""
    verdict = options.pop("verdict", evidence["verdict"])
    return " ".join(" ".join(gate_lines(evidence, verdict, **options)).split())


def kept(n, rights):
    outcome = EpisodeOutcome(likelihood=False, greedy=False, scores=(0.0,) * 4)
    return tuple(
        KeptEpisode(
            seed=i,
            answers="seen",
            options=OPTIONS,
            answer=rights(i),
            donor=0,
            outcomes={"p0": outcome},
        )
        for i in range(n)
    )


@pytest.mark.parametrize(
    ("p0", "rights", "said"),
    [
        (64, lambda i: i % 4, "p0 is 64 % where luck is 25 %: without any message B's own text"),
        (34, lambda i: i % 4, ""),
        (64, lambda i: int(i % 10 > 5), ""),
    ],
)
def test_p0_far_above_luck_is_said(spec, p0, rights, said):
    evidence = typed(evidence_of(spec(), {**SOUND, "p0": p0}))
    evidence = replace(evidence, episodes=kept(100, rights))
    lines = " ".join(" ".join(typed_lines(evidence, Verdict.PASS)).split())
    assert ("where luck is" in lines) == bool(said)
    assert said in lines
    assert above_luck(replace(evidence, episodes=())) == ""


SITUATIONS = {
    "PASS": {},
    "FAIL": {"rates": DEAF, "n": 1000},
    "INCONCLUSIVE": {"rates": UNDECIDED},
    "INVALID by a check": {"faults": ["episode 17 (seed 123) holds 0.01 at position 3 of 576"]},
    "INVALID by a gate": {"rates": {**SOUND, "p1": 20}},
    "NOT MEASURED": {"criteria": ["normal_above_p0"]},
    "100000 episodes": {"n": 100_000, "ties": 99_999},
    "looks": {"looks": {"rule": "e-process", "sizes": [50, 100, 1000], "look": 2}},
}


@pytest.mark.parametrize("columns", [80, 60, 40, fitting(1)])
@pytest.mark.parametrize("situation", SITUATIONS)
def test_no_line_is_longer_than_its_terminal_and_no_number_is_cut(spec, situation, columns):
    options = SITUATIONS[situation]
    evidence = evidence_of(spec(LONG), **options)
    for verbose in (False, True):
        lines = gate_lines(
            evidence, evidence["verdict"], "why " * 30, width=columns, verbose=verbose
        )
        assert max(map(len, lines)) <= columns
        for held in evidence["conditions"].values():
            assert f"{held['likelihood']['successes']}/{held['n']}" in "".join(lines)


def test_a_failure_is_told_in_plain_words_with_its_place_and_its_meaning(spec):
    text = text_of(evidence_of(spec(), DEAF, 1000))
    assert "main k=4: FAIL: 1 of 5 criteria not met, 3 not decided" in text
    assert (
        "FAIL: shuffle 32 % is not below p0 20 %: the receiver does not use the message "
        "shuffle_below_p0, " in text
    )
    (line,) = (at for at, row in enumerate(SPEC.split("\n"), 1) if "shuffle - p0" in row)
    assert f"gate_specs.yaml:{line}: a contradicting message misleads" in text
    assert "estimate 12 points, 98.33 % interval" in text


def test_a_pass_is_one_line_each_and_says_what_follows(spec):
    lines = gate_lines(evidence_of(spec()), "PASS")
    assert lines[0] == "main k=4: PASS: all 5 criteria hold"
    assert "  PASS: normal 90 % is more than 10 points above p0 25 %" in lines
    assert "    PASS: p1 98 % is more than 20 points above p0 25 %" in lines
    assert "interval 6" not in "\n".join(lines[-12:])
    assert lines[-2].startswith("  So: B answers better with its own message than with another")
    assert "near-ties" not in "\n".join(lines)
    assert "near-ties" in "\n".join(gate_lines(evidence_of(spec(), ties=1), "PASS"))


PACKETS = {"kind": "vectors", "messages": 90, "distinct": 70, "positions": [4, 4]}


def test_what_crossed_is_told_with_its_capacity_and_what_it_says(spec):
    held = evidence_of(spec())
    assert "packets:" not in text_of(held)
    held["packets"] = {**PACKETS, "capacity": [16384.0, 16384.0], "uncompressed": 0.94}
    assert "packets: vectors, 4 positions, capacity 16,384 bits validity" in text_of(held)
    held["packets"] = {**PACKETS, "capacity": [4096.0, 16384.0], "uncompressed": 0.95}
    held["packets"]["positions"], held["codec"]["bits"] = [1, 4], 12.0
    held["packets"]["by_length"] = 2.321928
    assert (
        "packets: vectors, 1 to 4 positions, capacity 4,096 to 16,384 bits, 2.32 of them by n; 12 "
        "bits declared, 70 different packets for 90 messages; n is at least the message's tokens: "
        "nothing is compressed" in text_of(held)
    )


def test_an_undecided_criterion_is_no_failure(spec):
    text = text_of(evidence_of(spec(), UNDECIDED))
    assert "main k=4: INCONCLUSIVE: 1 of 5 criteria not decided" in text
    assert "100 episodes do not decide whether shuffle 24 % is below p0 25 %; were the" in text
    assert "FAIL:" not in text
    assert "So: this is not a failure" in text


def test_an_invalid_gate_names_its_fault_first_and_reads_no_criterion(spec):
    text = text_of(evidence_of(spec(), faults=["it holds 0.01"]))
    assert "INVALID: no criterion is read" in text
    assert "not read: gate" not in text
    assert text.index("FAILED: null is exactly zero: it holds 0.01") < text.index("condition")
    assert "Measured, and not to be read as a result" in text
    assert "is above" not in text.partition("required base")[2].partition("So:")[0].replace(
        "p1 98 % is more than 20 points above", ""
    )
    text = text_of(evidence_of(spec(), {**SOUND, "p1": 20}))
    assert "required gate base is FAIL" in text
    assert "FAIL: p1 20 % is not more than 20 points above p0 25 %" in text


def test_what_was_not_measured_says_why(spec):
    text = text_of(evidence_of(spec(), criteria=["normal_above_p0"]))
    assert "NOT MEASURED: not everything it takes was measured" in text
    assert text.count("above_a_rate was left out of this run") == 1
    text = text_of(evidence_of(spec()), verdict="NOT MEASURED", note="a test could not run: no")
    assert "a test could not run: no" in text
    assert "PASS" not in text
    assert "Measured, and not to be read as a result: condition" in text
    assert "neither for nor against it" in text


def test_verbose_adds_every_number(spec):
    evidence = evidence_of(spec())
    text = text_of(evidence, verbose=True)
    table = evidence["criteria"][0]["table"]
    counts = ", ".join(f"{name} {table[name]}" for name in "abcd")
    for told in (counts, "Tango score: p_pass", evidence["hashes"]["outcomes"], "codec 66.5"):
        assert told in text
        assert told not in text_of(evidence)
    assert "from the cache: 1 of 1 blocks" in text
    assert "greedy near-ties" in text


def test_success_is_that_of_the_score(spec):
    evidence = evidence_of(spec())
    evidence["conditions"]["p0"]["greedy"] = {"successes": 7, "interval": [0.0, 0.2]}
    assert "p0 25/100 25.0 % 17.5 to 34.3 % 7.0 %" in text_of(evidence)
    evidence["score"] = "greedy"
    assert "p0 7/100 7.0 % 0.0 to 20.0 % 25.0 %" in text_of(evidence)


def test_verdicts_are_coloured_and_say_the_same_without(spec):
    for line in gate_lines(evidence_of(spec(), DEAF, 1000), "FAIL"):
        assert "".join(text for text, _ in coloured(line)) == line
    (text, markup), *_ = coloured("PASS: all hold")
    assert (text, markup["green"]) == ("PASS", True)


@pytest.mark.parametrize("columns", [80, 40])
def test_a_family_of_hundreds_stays_short(spec, columns):
    ks = [4, 8, *range(16, 400)]
    loaded = spec(family=str(ks))
    episodes = [
        {
            "seed": i,
            "answers": "seen",
            "outcomes": {
                name: {"likelihood": bool(held[i])} for name, held in columns_of().items()
            },
        }
        for i in range(100)
    ]
    evidence = {"gate": "main", "k": 4, "score": "likelihood", "checks": [], "episodes": episodes}
    family = family_verdict(
        loaded,
        loaded.gates["main"],
        {4: GateVerdict(("main", 4), Verdict.PASS, "", typed(evidence))},
    )
    lines = family.lines(columns)
    assert max(map(len, lines)) <= columns
    assert "(386 k)" in " ".join(lines)
    assert "385 other k: not run, counts as p 1" in " ".join(lines)


def columns_of():
    return outcomes(SOUND, 100).outcomes


@pytest.mark.parametrize(
    ("claim", "says"),
    [
        ("shuffle - p0 < 0", "the receiver does not use the message"),
        ("shuffle - p0 < -0.1", "misleads the receiver by less than 10 points, if at all"),
        ("normal - shuffle > 0", "another message does as well or better"),
        ("normal - null > 0.1", "a prefix of zeros comes within 10 points of it, or above"),
        ("normal - p0 > 0.1", "the codec's prefix helps by less than 10 points, if at all"),
        ("normal - p1 > -0.1", "the message as text does better"),
        ("random - p0 < 0.1", "noise of the same size helps by itself"),
        ("abs(null - p0) < 0.1", "a prefix of zeros changes the answers by itself"),
        ("abs(embed - p1) < 0.02", "the injected text does not do what the message as text does"),
        ("normal > 0.3", ""),
    ],
)
def test_a_failure_means_no_more_than_its_denial(claim, says):
    found = meaning(parse_claim(claim))
    assert found.endswith(says)
    assert bool(found) is bool(says)


def test_where_the_message_matters_a_failure_does_not_say_it_is_not_used(spec):
    odd = {**SOUND, "shuffle": 60}
    evidence = evidence_of(spec(), odd, 1000)
    text = text_of(evidence)
    assert "does not use the message" not in text
    assert "FAIL: shuffle 60 % is not below p0 25 %: a contradicting message does not mis" in text
    assert "any message does" not in text


def test_any_message_does_where_this_one_is_not_better(spec):
    text = text_of(evidence_of(spec(), {**DEAF, "normal": 15}, 1000))
    assert "So: the channel does not carry this message: any message does as well." in text


def test_wrapping_keeps_numbers_with_their_units():
    lines = wrapped("about 95 % of them", 10, 0)
    assert lines == ["about 95 %", "of them"]
    assert wrapped("about 95 % of them", 9, 0) == ["about", "95 % of", "them"]
    assert "".join(wrapped("x" * 50, 20, 0)) == "x" * 50
