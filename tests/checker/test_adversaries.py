"""Specs that no channel is needed to pass are refused, however they are put; sound ones are not."""

from dataclasses import replace
from pathlib import Path

import pytest

from lpca.checker.adversaries import ADVERSARIES
from lpca.checker.check import check_spec
from lpca.checker.whole import attack
from lpca.commands.plan import whole_powers
from lpca.gatespec.load import load_spec, parse_spec
from lpca.gatespec.model import declared_levels, levels_of
from lpca.stats.planning import power

SPECS = Path(__file__).parent / "specs"
RATES = {
    "p0": 0.25,
    "p1": 0.8,
    "normal": 0.8,
    "null": 0.25,
    "random": 0.25,
    "shuffle": 0.05,
    "static": 0.25,
    "mean": 0.25,
    "same_answer": 0.8,
}
AT_SIZE = {
    "first_k": 0.4,
    "random_k": 0.3,
    "keywords_k": 0.5,
    "empty": 0.25,
    "shaped": 0.25,
}
"""What a channel is held against at its own size, or with no message."""
BY_FILE = {
    "band-alone": "passes-adversary",
    "confirmation-on-the-same-episodes": "winners-curse",
    "controls-as-weak-ratios": "passes-adversary",
    "controls-with-negative-margins": "passes-adversary",
    "equivalence-of-nearly-everything": "passes-adversary",
    "equivalence-to-same-answer-alone": "passes-adversary",
    "looks-beyond-n": "idle-looks",
    "required-gate-read-on-fewer-episodes": "required-gate",
    "sequential-unattainable": "unattainable",
    "whole-gate-power": "gate-underpowered",
}
CONTROLS = ("normal - null > 0", "normal - shuffle > 0")
OTHER_CONTROLS = ("same_answer - null > 0", "same_answer - shuffle > 0")


def spec(*claims, n=400, gate="", rates=RATES, more="", title="Any"):
    rows = "\n".join(f"      - {{id: c{i}, claim: {one}}}" for i, one in enumerate(claims))
    expect = ", ".join(f"{name}: {rate}" for name, rate in rates.items())
    return parse_spec(f"""\
version: 1
task: {{name: trip, seed: 1}}
evaluation: {{n: {n}{more}}}
gates:
  g:
    title: {title}
    conditions: [{", ".join(RATES | AT_SIZE)}]
    expect: {{{expect}}}
{gate}
    criteria:
{rows}
""")


def errors(given):
    return [one for one in check_spec(given) if one.severity == "error"]


def refused_by(given):
    return {one.rule for one in errors(given)}


@pytest.mark.parametrize("file", sorted(SPECS.glob("unsound-*.yaml")), ids=lambda path: path.stem)
def test_an_unsound_spec_is_refused_by_what_is_wrong_with_it(file):
    found = errors(load_spec(file))
    rule = BY_FILE[file.stem.removeprefix("unsound-")]
    (told, *_) = [one for one in found if one.rule == rule]
    assert any(letter.isdigit() for letter in told.wrong + told.number)


@pytest.mark.parametrize("file", sorted(SPECS.glob("sound-*.yaml")), ids=lambda path: path.stem)
def test_a_sound_spec_has_no_error(file):
    assert errors(load_spec(file)) == []


@pytest.mark.parametrize(
    "claims",
    [
        ("normal - null > -0.09", "normal - shuffle > -0.09"),
        ("shuffle - normal < 0.09", "null - normal < 0.09"),
        ("normal - null > 0", "normal - shuffle > -0.2"),
        ("normal - p0 > 0.1", "normal / null > 0.3", "normal / shuffle > 0.3"),
        ("normal - p0 > 0.1", "shuffle / normal < 3", "null / normal < 0.9"),
        ("same_answer - p0 > 0.1", "same_answer - null > 0", "same_answer / shuffle > 0.5"),
        ("normal - 0.05*p1 - 0.95*p0 > 0", "normal - null > 0", "normal / shuffle > 0.5"),
        ("normal - 0.01*shuffle - 0.99*p0 > 0", "normal - null > 0"),
        ("abs(normal - same_answer) < 0.5", "normal - null > 0"),
        ("abs(normal - p1) < 0.3", "abs(normal - same_answer) < 0.2"),
        ("0.5 < same_answer < 0.95",),
        ("normal > 0.6", "abs(null - p0) < 0.1"),
        ("normal - random > 0", "normal - p0 > 0.1", "normal - null > 0"),
        ("normal - p1 > -0.15", "p1 - p0 > 0.2"),
        # what one claim leaves open is small, what two leave open together is not
        ("normal - random > 0", "random - shuffle > -0.15", "normal - null > 0"),
        ("normal - null > 0", "null - shuffle > -0.2", "normal - p0 > 0"),
        ("normal - static > 0", "static - shuffle > -0.1", "normal - null > 0"),
        ("normal / null > 1.1", "null / shuffle > 0.7"),
        ("normal - p0 > 0.1", "normal - null > 0", "shuffle - p1 < 0"),
        # the paraphrase is held to all controls, the message to none
        ("same_answer - shuffle > 0", "normal - p0 > -0.2"),
        ("same_answer - p0 > 0.1", *OTHER_CONTROLS, "normal - null > -0.05"),
        ("same_answer - p0 > 0.1", *OTHER_CONTROLS, "normal > 0.2"),
        ("same_answer - p0 > 0.1", *OTHER_CONTROLS, "normal / shuffle > 0.5"),
        (*OTHER_CONTROLS, "normal - same_answer > -0.12"),
    ],
)
def test_variants_of_claims_that_need_no_message_are_refused(claims):
    assert "passes-adversary" in refused_by(spec(*claims))


@pytest.mark.parametrize(
    "gate",
    [
        "    sequential: {rule: e-process, block: 50}",
        "    sequential: {rule: obrien-fleming, looks: 4}",
        "    k: {any: [4, 8]}",
    ],
)
def test_no_stopping_rule_or_family_hides_an_adversary(gate):
    weak = spec("normal - null > -0.1", "normal - shuffle > -0.1", gate=gate)
    assert "passes-adversary" in refused_by(weak)
    assert refused_by(spec("normal - p0 > 0.1", *CONTROLS, gate=gate)) == set()


def test_a_criterion_that_only_warns_keeps_no_adversary_out():
    given = "normal - shuffle > 0, severity: warn"
    assert "passes-adversary" in refused_by(spec("normal - null > 0", given))


def with_baselines(*claims):
    """The conditions are those that are claimed of: a table is drawn of these alone."""
    return spec(*claims, n=800, rates=RATES | AT_SIZE)


@pytest.mark.parametrize(
    "claims",
    [
        # one learned prefix beats a message that is cut short
        ("normal - first_k > 0",),
        ("normal - first_k > 0.1", "normal - p0 > 0.1"),
        ("normal - first_k > 0", "normal - null > 0", "normal - static > 0"),
        ("normal - keywords_k > 0", "normal - random_k > 0", "normal - null > 0"),
        ("normal - first_k > 0", "first_k - shuffle > -0.2", "normal - null > 0"),
        ("abs(normal - first_k) < 0.2", "normal - null > 0"),
        # what it gives an empty message, and what noise does, is its own affair
        ("normal - empty > 0", "normal - null > 0"),
        ("normal > 0.6", "normal - empty > 0", "empty - shuffle > -0.2", "normal - null > 0"),
        ("normal > 0.6", "normal - shaped > 0", "shaped - shuffle > -0.2", "normal - null > 0"),
        ("normal - shaped > 0", "normal - empty > 0", "normal - p0 > 0.1"),
    ],
)
def test_beating_cheap_text_or_no_message_takes_no_message(claims):
    """So these claims stand beside shuffle, never in its place."""
    assert "passes-adversary" in refused_by(with_baselines(*claims))


@pytest.mark.parametrize("claim", [f"normal - {name} > 0" for name in AT_SIZE])
def test_none_of_them_is_a_control_in_shuffles_place(claim):
    assert "missing-control" in refused_by(with_baselines(claim, "normal - null > 0"))


@pytest.mark.parametrize(
    "claims",
    [
        ("normal - first_k > 0",),
        ("normal - first_k > 0.1", "normal - random_k > 0", "normal - keywords_k > 0"),
        ("normal - empty > 0", "normal - shaped > 0"),
        ("abs(empty - p0) < 0.1", "shaped - p0 < 0.1"),
    ],
)
def test_beside_shuffle_and_null_they_are_sound(claims):
    assert refused_by(with_baselines("normal - p0 > 0.1", *CONTROLS, *claims)) == set()


def test_a_channel_that_is_truncation_does_not_beat_it():
    """Nor does an expectation say that it would: no n suffices."""
    rates = RATES | AT_SIZE | {"first_k": 0.8}
    claims = ("normal - p0 > 0.1", *CONTROLS, "normal - first_k > 0")
    assert "underpowered" in refused_by(spec(*claims, rates=rates))


@pytest.mark.parametrize("name", ["empty", "shaped"])
def test_what_says_nothing_of_the_message_is_no_better_than_a_guess(name):
    rates = RATES | AT_SIZE | {name: 0.5}
    claims = ("normal - p0 > 0.1", *CONTROLS)
    assert "impossible-expectation" in refused_by(spec(*claims, rates=rates))


def test_titles_and_ids_decide_nothing():
    claims = ("normal - null > -0.1", "normal - shuffle > -0.1")
    plain = errors(spec(*claims))
    assert errors(spec(*claims, title="No claim about a message")) == plain


@pytest.mark.parametrize(
    "claims",
    [
        ("p1 - p0 > 0.2",),
        ("0.15 < p0 < 0.35", "p1 - p0 > 0.2"),
        ("abs(null - p0) < 0.1", "random - p0 < 0.1"),
        ("normal - p0 > 0.1", *CONTROLS),
        ("normal - p1 > -0.10", *CONTROLS),
        ("normal - 0.3*p1 - 0.7*p0 > 0", *CONTROLS),
        ("same_answer - p0 > 0.1", "same_answer - null > 0", "same_answer - shuffle > 0"),
        ("normal / shuffle > 1.2", *CONTROLS),
        ("shuffle - p0 < 0",),
        ("normal - p0 > 0.1", *CONTROLS, "same_answer - p0 > 0.1"),
        ("normal - p0 > 0.1", *CONTROLS, "same_answer - p0 > -0.1"),
        ("normal - p0 > 0.1", *CONTROLS, "same_answer - shuffle > 0"),
        ("normal - p0 > 0.1", *CONTROLS, *OTHER_CONTROLS, "normal - same_answer > -0.15"),
        ("normal - p0 > 0.1", *CONTROLS, "same_answer / normal > 0.7"),
        ("normal - p0 > 0.1", *CONTROLS, "normal - static > 0", "normal - mean > 0"),
        ("normal - p0 > 0.1", *CONTROLS, "random - p0 < 0.1", "abs(null - p0) < 0.1"),
        ("normal / shuffle > 1.5", "normal / null > 1.2"),
        ("shuffle - normal < 0", "null - normal < 0", "p0 - normal < -0.1"),
        ("shuffle / normal < 0.8", "null / normal < 0.8"),
        ("normal - null > 0.2", "normal - shuffle > 0.3"),
        ("normal > 0.6", *CONTROLS),
        ("0.6 < normal < 0.95", *CONTROLS),
        ("abs(normal - p1) < 0.15", *CONTROLS),
        ("abs(normal - same_answer) < 0.15", *CONTROLS),
    ],
)
def test_sound_claims_and_gates_without_one_about_a_message_are_let_be(claims):
    assert refused_by(spec(*claims)) == set()


def test_an_adversary_that_is_held_at_alpha_is_no_finding():
    """A claim at its own margin is passed falsely in alpha of all cases: that is what alpha is."""
    given = spec("normal - p0 > 0.1", *CONTROLS, more=", checkpoints: 1")
    for adversary in ADVERSARIES:
        seen = attack(given, given.gates["g"], adversary)
        if adversary.refuses and seen is not None:
            assert seen.share < 0.05


def test_half_a_channel_is_shown_and_passes_what_asks_for_no_more():
    default = load_spec(Path(__file__).parents[2] / "gate_specs.yaml")
    (half,) = [one for one in ADVERSARIES if "half" in one.name]
    assert attack(default, default.gates["gate1"], half) is None
    seen = attack(default, default.gates["carries"], half)
    assert seen is not None
    assert seen.share > 0.7


def test_the_finding_names_how_often_and_how_sure():
    (found,) = [one for one in errors(spec("normal > 0.6")) if "magic" in one.wrong]
    assert found.wrong.startswith("a magic prompt passes ")
    assert found.wrong.endswith(" of 1000 times")
    assert "99 % Monte Carlo limit" in found.number


def test_many_gates_are_attacked_with_fewer_tables_and_the_finding_says_how_many():
    given = spec("normal > 0.6")
    gate = given.gates["g"]
    many = {f"g{i}": replace(gate, name=f"g{i}") for i in range(20)}
    told = [one.wrong for one in errors(replace(given, gates=many)) if "magic" in one.wrong]
    assert len(told) == 20
    assert len(set(told)) == 1
    assert told[0].endswith(" of 500 times")


def test_findings_depend_on_no_luck():
    claims = ("normal - null > -0.05", "normal - shuffle > -0.02", "abs(null - p0) < 0.09")
    assert check_spec(spec(*claims)) == check_spec(spec(*claims))


@pytest.mark.parametrize(
    ("rule", "given"),
    [
        ("impossible-expectation", spec("p1 - p0 > 0.1", rates={**RATES, "p0": 0.6})),
        ("impossible-expectation", spec("p1 - p0 > 0.1", rates={**RATES, "static": 0.7})),
        ("impossible-expectation", spec("p1 - p0 > 0.1", rates={**RATES, "p0": 0.05})),
        ("assumed-agreement", spec("p1 - p0 > 0.1", rates={**RATES, "correlation": 1})),
        ("assumed-agreement", spec("abs(null - p0) < 0.1, expect: {discordant: 0.0}")),
        ("assumed-agreement", spec("abs(mean - static) < 0.1, expect: {discordant: 0.01}")),
        ("low-confidence", spec("p1 - p0 > 0.1", more=", confidence: 0.7")),
        ("low-confidence", spec("p1 - p0 > 0.1, confidence: 0.5")),
        ("idle-looks", spec("p1 - p0 > 0.1", gate="    looks: [200]")),
        ("idle-looks", spec("p1 - p0 > 0.1", gate="    looks: [100, 900]")),
        ("always-holds", spec("p1 > 0")),
        ("always-holds", spec("p0 < 1")),
        ("always-holds", spec("p1 - p0 > -1")),
        ("always-holds", spec("abs(p1 - p0) < 1")),
        ("always-holds", spec("p1 / p0 > 0.001")),
        ("unattainable", spec("p1 > 0", n=20, gate="    sequential: {rule: e-process, block: 5}")),
        ("unattainable", spec("p1 - p0 > 0.9", gate="    sequential: {rule: e-process, block: 9}")),
        (
            "gate-underpowered",
            spec(*[f"abs({one} - p0) < 0.1" for one in ("null", "random", "mean")], n=330),
        ),
    ],
)
def test_what_else_is_unsound_is_refused(rule, given):
    assert rule in refused_by(given)


@pytest.mark.parametrize("rate", [0.1, 0.9])
def test_own_questions_may_have_an_answer_that_is_common(rate):
    """Of yes/no questions nine in ten may be right, or wrong, by always saying yes."""
    rates = {**RATES, "p0": rate, "static": rate, "null": rate, "p1": 0.95}
    given = spec("p1 > 0.5", rates=rates)
    task = replace(given.task, name="episodes", settings={"file": "yes_no.jsonl", "options": 2})
    assert "impossible-expectation" in refused_by(given)
    assert refused_by(replace(given, task=task)) == set()


def test_groups_that_are_alike_count_for_less():
    """64 wordings of trip at ICC 1 count as 64 episodes, however many there are."""
    claims = ("normal - p0 > 0.35", *CONTROLS)
    assert refused_by(spec(*claims, n=1600)) == set()
    found = errors(spec(*claims, n=1600, rates={**RATES, "icc": 1}))
    (told,) = [one for one in found if one.rule == "underpowered"]
    assert told.number.startswith("1600 episodes in 64 groups count as 64 at icc 1: power ")
    assert "groups of this size" in told.instead


def own_episodes(given, folder, groups):
    rows = [f'{{"message": "m{i}", "group": "g{i % groups}"}}' for i in range(400)]
    (folder / "own.jsonl").write_text("\n".join(rows))
    task = replace(given.task, name="episodes", settings={"file": "own.jsonl"})
    return replace(given, file=str(folder / "gate_specs.yaml"), task=task)


@pytest.mark.parametrize(("groups", "refused"), [(1, True), (3, True), (30, False), (400, False)])
def test_groups_too_few_for_any_outcome_are_a_finding(tmp_path, groups, refused):
    found = errors(own_episodes(spec("normal - p0 > 0.1", *CONTROLS), tmp_path, groups))
    assert {one.rule for one in found} == ({"unattainable"} if refused else set())
    assert all(f"400 episodes in {groups} groups" in one.wrong for one in found)


def test_what_is_read_by_itself_is_held_to_no_groups(tmp_path):
    apart = "cluster: none, why: each is a document of its own"
    claims = [f"{one}, {apart}" for one in ("normal - p0 > 0.1", *CONTROLS)]
    assert refused_by(own_episodes(spec(*claims), tmp_path, 3)) == set()


def test_alike_episodes_that_are_each_read_by_itself_let_an_adversary_pass():
    claims = ("normal - null > 0", "normal - shuffle > 0, cluster: none, why: because")
    assert refused_by(spec(*claims)) == set()
    assert "passes-adversary" in refused_by(spec(*claims, rates={**RATES, "icc": 0.5}))


def test_the_whole_gate_is_drawn_in_groups_that_are_alike():
    claims = [f"{one} - p0 < 0.12" for one in ("null", "random", "mean", "static")]
    assert refused_by(spec(*claims)) == set()
    found = errors(spec(*claims, rates={**RATES, "icc": 0.1}))
    assert {one.rule for one in found} == {"gate-underpowered"}


def test_marks_may_all_lie_near_their_mean():
    """0.6 < normal < 0.75 of right and wrong answers is rarely shown; of marks of 0.68 always."""
    claims = ("0.62 < normal < 0.74", "abs(null - p0) < 0.1")
    rates = {**RATES, "normal": 0.68}
    marks = spec(*claims, rates=rates, more=", score: graded")
    magic = next(one for one in ADVERSARIES if one.name == "a magic prompt")
    assert attack(marks, marks.gates["g"], magic).share > 0.85
    plain = spec(*claims, rates=rates)
    assert attack(plain, plain.gates["g"], magic).share < 0.8


def test_repeats_count_for_as_much_as_they_can():
    claims = ("abs(null - p0) < 0.1",)
    once = ", score: greedy"
    assert "underpowered" in refused_by(spec(*claims, n=60, more=once))
    assert refused_by(spec(*claims, n=60, more=f"{once}, repeats: 8, temperature: 1")) == set()


def test_the_power_of_one_criterion_is_that_of_its_gate():
    for claim in ("p1 - p0 > 0.45", "abs(null - p0) < 0.1", "0.2 < p0 < 0.32", "normal / p0 > 2.4"):
        given = spec(claim)
        (one,) = given.gates["g"].criteria
        levels = levels_of(one, given.evaluation)
        exact = power(one.claim, given.gates["g"].truth(one), 400, *levels)
        assert whole_powers(given, given.gates["g"], [400])[0] == pytest.approx(exact, abs=0.05)


def test_the_power_of_a_gate_is_at_most_its_weakest_criterions():
    claims = ["p1 - p0 > 0.45", "abs(null - p0) < 0.1", "0.2 < p0 < 0.32"]
    alone = [whole_powers(given, given.gates["g"], [400])[0] for given in map(spec, claims)]
    given = spec(*claims)
    (whole,) = whole_powers(given, given.gates["g"], [400])
    assert 1 - sum(1 - share for share in alone) - 0.05 <= whole <= min(alone) + 0.05


def test_the_plans_whole_gate_has_the_levels_that_are_decided_at():
    """Claims on what a codec sends take a third of alpha each where three looks are paid for."""
    given = spec("normal - p0 > 0.48")
    (one,) = given.gates["g"].criteria
    truth = given.gates["g"].truth(one)
    undivided = power(one.claim, truth, 400, *declared_levels(one, given.evaluation))
    divided = power(one.claim, truth, 400, *levels_of(one, given.evaluation))
    assert divided < undivided - 0.1
    assert whole_powers(given, given.gates["g"], [400])[0] == pytest.approx(divided, abs=0.05)


def test_a_reason_allows_a_low_confidence():
    more = ", confidence: 0.7, equivalence_confidence: 0.4, why: a first look"
    assert refused_by(spec("p1 - p0 > 0.1", more=more)) == set()


@pytest.mark.parametrize(
    ("claims", "repeated"),
    [
        (("p1 - p0 > 0.2", "p0 + 0.2 < p1"), True),
        (("p1 - p0 > 0.2", "p1 / p0 > 1"), True),
        (("p1 - p0 > 0.2", "p1 > 0.15"), True),
        (("abs(null - p0) < 0.08", "null - p0 < 0.1"), True),
        (("abs(null - p0) < 0.1", "abs(p0 - null) < 0.1"), True),
        (("0.2 < p0 < 0.3", "p0 < 0.35"), True),
        (("p1 - p0 > 0.2", "p1 > 0.3"), False),
        (("abs(null - p0) < 0.1", "null - p0 < 0.08"), False),
        (("normal - null > 0", "normal - shuffle > 0"), False),
    ],
)
def test_a_claim_said_twice_is_a_warning(claims, repeated):
    found = {one.rule: one.severity for one in check_spec(spec(*claims))}
    assert found.get("repeated-claim") == ("warning" if repeated else None)


def test_any_spec_is_checked_in_bounded_time():
    claims = ("normal - p0 > 0.1", "normal - mean > 0", "normal - static > 0", *CONTROLS)
    rules = ("", "    sequential: {rule: e-process, block: 1}")
    for rule in rules:
        assert refused_by(spec(*claims, n=1_000_000, gate=rule)) == set()
