import re
from pathlib import Path

import pytest

from lpca.checker.check import RULES, check_spec, has_errors
from lpca.gatespec.load import load_spec, parse_spec

ROOT = Path(__file__).parents[2]
DOCS = (ROOT / "docs" / "checker-rules.md").read_text(encoding="utf-8")
SECTIONS = dict(re.findall(r"^## (\S+)\n(.*?)(?=^## |\Z)", DOCS, re.M | re.S))
RATES = {
    "p0": 0.25,
    "p1": 0.80,
    "embed": 0.80,
    "normal": 0.90,
    "null": 0.25,
    "random": 0.25,
    "shuffle": 0.05,
    "static": 0.25,
    "mean": 0.25,
    "same_answer": 0.88,
}
SOUND = """
      - {id: s1, claim: normal - shuffle > 0}
      - {id: s2, claim: normal - null > 0}"""


def found(text):
    return check_spec(parse_spec(text))


def spec(criteria="", *, n=400, task="", evaluation="", gate="", rates=RATES, sound=SOUND):
    expect = ", ".join(f"{name}: {rate}" for name, rate in rates.items())
    return f"""\
version: 1
task: {{name: trip, seed: 5{task}}}
evaluation: {{n: {n}{evaluation}}}
gates:
  g:
    conditions: [{", ".join(RATES)}]
    expect: {{{expect}}}
{gate}
    criteria:{sound}
{criteria}"""


def criterion(claim, extra="", name="x"):
    return f"      - {{id: {name}, claim: {claim}{extra}}}\n"


def documented(section, marks):
    """The spec that a section's example gives with its lines of these marks only."""
    (example,) = re.findall(r"```diff\n(.*?)```", section, re.S)
    lines = [line[2:] for line in example.splitlines() if line[0] in marks]
    if "conditions:" not in example:
        lines = ["conditions: [p0, p1]", "expect: {p0: 0.25, p1: 0.80}", *lines]
    top = {"task": "task: {name: trip, seed: 1}", "evaluation": "evaluation: {n: 400}"}
    top |= {line.partition(":")[0]: line for line in lines if line.partition(":")[0] in top}
    gates = ["  g:"]
    for line in lines:
        if line not in top.values():
            # behind the one gate's keys another gate may stand
            own = "  " if line == "valid:" or "  valid:" in gates else "    "
            gates.append(own + line)
    return "\n".join(["version: 1", *top.values(), "gates:", *gates, ""])


def rules(findings):
    return {one.rule for one in findings} - {"unused-condition", "repeated-claim"}


@pytest.mark.parametrize(
    ("where", "kept", "shift"),
    [("p1 succeeds", 80, 20), ("p0 fails", 75, 25), ("not null", 75, 25)],
)
def test_a_filter_by_outcome_is_told_what_it_keeps_and_by_how_much_it_shifts(where, kept, shift):
    text = spec(criterion("normal > shuffle", f", where: {where}"))
    (finding,) = (one for one in found(text) if one.rule == "outcome-filter")
    assert f"on the {kept} % of episodes kept" in str(finding)
    assert f"differs from it by {shift} points" in str(finding)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
def test_the_documentation_shows_each_rule_with_a_bad_and_a_good_spec(rule):
    section = SECTIONS[rule.name]
    assert f"**{rule.severity.capitalize()}.**" in section
    bad, good = (documented(section, marks) for marks in (" -", " +"))
    assert (rule.name, rule.severity) in {(one.rule, one.severity) for one in found(bad)}
    assert found(good) == []


def test_the_documentation_has_no_rule_that_is_gone():
    assert list(SECTIONS) == [rule.name for rule in RULES]


def test_the_default_spec_is_clean():
    assert check_spec(load_spec(ROOT / "gate_specs.yaml")) == []


NOT_IN_THE_ORIGINAL = {
    "decides-nothing",
    "power-unknown",
    "impossible-expectation",
    "assumed-agreement",
    "ratio-near-zero",
    "low-confidence",
    "gate-underpowered",
    "required-gate",
    "idle-looks",
    "always-holds",
}


def test_the_original_gates_are_refused_by_every_rule_for_what_they_hold():
    findings = check_spec(load_spec(ROOT / "examples" / "original_gates.yaml"))
    assert {one.rule for one in findings} == {rule.name for rule in RULES} - NOT_IN_THE_ORIGINAL
    assert has_errors(findings)


def test_the_repaired_gates_are_accepted():
    assert check_spec(load_spec(ROOT / "examples" / "repaired_gates.yaml")) == []


def test_findings_stand_in_the_order_of_the_file_and_say_everything():
    findings = check_spec(load_spec(ROOT / "examples" / "original_gates.yaml"))
    places = [(one.position.line, one.position.column) for one in findings]
    assert places == sorted(places)
    assert all(one.wrong and one.number and one.instead for one in findings)


@pytest.mark.parametrize(
    ("rule", "text"),
    [
        ("unattainable", spec(criterion("-0.05 < null - p0 < 0.05"), n=50)),
        ("unattainable", spec(criterion("normal > 0.99"), n=50)),
        ("unattainable", spec(criterion("shuffle < 0.01"), n=50)),
        ("unattainable", spec(criterion("normal - p0 > 0.98"), n=50)),
        ("unattainable", spec(criterion("0.24 < p0 < 0.26"), n=50)),
        (
            "unattainable",
            spec(criterion("high(shuffle) < low(p0)"), n=50, rates={**RATES, "p0": 0.10}),
        ),
        (
            "unattainable",
            spec(criterion("low(p0) > high(shuffle)"), n=50, rates={**RATES, "p0": 0.10}),
        ),
        ("unattainable", spec(criterion("shuffle - p0 < 0"), rates={**RATES, "p0": 0.005})),
        ("unattainable", spec(criterion("p0 - shuffle > 0"), rates={**RATES, "p0": 0.005})),
        ("underpowered", spec(criterion("shuffle - p0 < 0"), rates={**RATES, "p0": 0.02})),
        ("underpowered", spec(criterion("normal > 0.85"), n=50)),
        ("underpowered", spec(criterion("random - p0 < 0.10"), n=200)),
        ("underpowered", spec(criterion("p0 > normal"))),
        ("underpowered", spec(criterion("p1 - p0 > 0.20"), gate="    n: 10")),
        ("underpowered", spec(criterion("abs(embed - p0) < 0.1", ", expect: {discordant: 0.1}"))),
        ("power-unknown", spec(criterion("p1 - p0 > 0.20"), rates={"p0": 0.25})),
        ("point-estimate", spec(criterion("normal >= 0.30", ", method: point"))),
        ("point-estimate", spec(criterion("normal - p0 > 0.10", ", method: Point Estimate"))),
        ("overlap", spec(criterion("low(normal) > high(null)"))),
        ("overlap", spec(criterion("ci_high(shuffle) <= ci_low(p0)"))),
        ("overlap", spec(criterion("low(normal) - high(null) > 0.05"))),
        ("overlap", spec(criterion("lower(normal) > p0"))),
        ("unpaired", spec(criterion("normal > p0", ", method: Welch"))),
        ("unpaired", spec(criterion("normal > p0", ", method: fisher_exact"))),
        ("unpaired", spec(criterion("normal > p0", ", method: two_proportion z"))),
        ("unpaired", spec(criterion("abs(null - p0) < 0.1", ", method: chi2"))),
        ("unpaired", spec(criterion("normal > p0", ", method: wilson"))),
        ("unpaired", spec(criterion("normal - 0.5*p1 - 0.5*p0 > 0", ", method: t-test"))),
        ("not-significant-as-equal", spec(criterion("null == p0"))),
        ("not-significant-as-equal", spec(criterion("p0 ~= random"))),
        ("alpha-mismatch", spec(criterion("normal > p0", ", confidence: 0.90"))),
        ("alpha-mismatch", spec(criterion("abs(null - p0) < 0.1", ", confidence: 0.95"))),
        (
            "alpha-mismatch",
            spec(
                criterion("0.15 < p0 < 0.35"),
                evaluation=", confidence: 0.90, equivalence_confidence: 0.90",
            ),
        ),
        ("missing-control", spec(criterion("normal > p0"), sound="")),
        ("missing-control", spec(criterion("p0 < normal"), sound="")),
        ("missing-control", spec(criterion("normal > 0.3"), sound="")),
        ("missing-control", spec(criterion("normal / p1 > 0.9"), sound="")),
        ("missing-control", spec(criterion("normal - 0.5*p1 - 0.5*p0 > 0"), sound="")),
        ("missing-control", spec(criterion("abs(normal - p1) < 0.2"), sound="")),
        ("missing-control", spec(criterion("low(normal) > high(p0)"), sound="")),
        ("missing-control", spec(criterion("normal - shuffle > 0"), sound="")),
        ("missing-control", spec(criterion("same_answer - p0 > 0.1"), sound="")),
        ("missing-control", spec(criterion("normal - static > 0"), sound="")),
        ("missing-control", spec(criterion("normal - mean > 0"), sound="")),
        ("inert-retention", spec(criterion("same_answer / p1 > 0.5"))),
        ("missing-control", spec(criterion("normal - null > 0"), sound="")),
        ("missing-control", spec(gate="    controls: {null: decode(0)}")),
        ("missing-control", spec(gate="    controls:\n      null: decode_zero")),
        ("inert-retention", spec(criterion("normal >= 0.5 * p1"))),
        ("inert-retention", spec(criterion("p1 * 0.5 <= normal"))),
        ("inert-retention", spec(criterion("p1 / normal < 2"))),
        ("inert-retention", spec(criterion("normal / embed > 0.6"))),
        ("inert-retention", spec(criterion("normal - p1 > -0.60"))),
        ("inert-retention", spec(criterion("normal > 0.20"))),
        ("inert-retention", spec(criterion("normal / p1 > 0.5"), rates={"normal": 0.9})),
        ("optional-stopping", spec(gate="    looks: [10, 400]")),
        ("winners-curse", spec(criterion("normal > p0", ", best_of: {layer: [3, 7, 11]}"))),
        ("winners-curse", spec(gate="    best_of: {k: [2, 4, 8]}")),
        ("winners-curse", spec(gate="    best_of: {seed: [1, 2], confirm: {seed: 5}}")),
        ("winners-curse", spec(gate="    best_of: {k: [2, 4], confirm: {seed: 6}}")),
        (
            "idle-looks",
            spec(gate="    looks: [200, 400]\n    sequential: {rule: obrien-fleming, looks: 2}"),
        ),
        ("outcome-filter", spec(criterion("normal > null", ", where: null fails"))),
        ("outcome-filter", spec(criterion("normal > null", ", where: not null"))),
        ("outcome-filter", spec(criterion("normal > null", ", where: null == 0"))),
        ("outcome-filter", spec(criterion("normal > p0", ", where: p1 succeeds and p0 failed"))),
        ("outcome-filter", spec(gate="    where: p0 is wrong")),
        ("seed-overlap", spec(task=", train_seed: 5")),
        ("seed-overlap", spec(task=", validation_seeds: [9, 4..6]")),
        ("seed-overlap", spec(task=", train_seed: 9, validation_seed: 9")),
        (
            "seed-overlap",
            spec(task=", train_seed: 9", gate="    best_of: {k: [2, 4], confirm: {seed: 9}}"),
        ),
        ("duplicate-id", spec(criterion("p1 > p0", name="s1"))),
        ("unused-condition", spec()),
    ],
)
def test_a_rule_finds_what_it_names_however_it_is_put(rule, text):
    assert rule in {one.rule for one in found(text)}


@pytest.mark.parametrize(
    "text",
    [
        spec(criterion("shuffle - p0 < 0")),
        spec(criterion("normal - static > 0")),
        spec(criterion("normal - mean > 0")),
        spec(criterion("same_answer - p0 > 0.10")),
        spec(criterion("same_answer - normal > -0.10")),
        spec(criterion("abs(static - p0) < 0.15")),
        spec(evaluation=", checkpoints: 1"),
        spec(criterion("normal - p1 > -0.10")),
        spec(criterion("abs(embed - p1) < 0.02", ", expect: {discordant: 0.0}")),
        spec(criterion("0.15 < p0 < 0.35")),
        spec(criterion("low(normal) > 0.30")),
        spec(criterion("normal / shuffle > 2")),
        spec(
            criterion("normal / p1 > 0.5"),
            rates={**RATES, "p0": 0.02},
            evaluation=", score: greedy",
        ),
        spec(criterion("normal > p0", ", method: Tango")),
        spec(criterion("normal > 0.5", ", method: wilson")),
        spec(criterion("normal > p0", ", confidence: 0.95")),
        spec(criterion("normal > p0"), evaluation=", confidence: 0.99"),
        spec(criterion("abs(null - p0) < 0.15"), evaluation=", confidence: 0.99"),
        spec(gate="    looks: [400]"),
        spec(gate="    sequential: {rule: e-process, block: 50}"),
        spec(gate="    sequential: {rule: obrien-fleming, looks: 2}"),
        spec(gate="    k: {any: [4, 8]}"),
        spec(gate="    k: [4, 8]"),
        spec(task=", train_seed: 6, validation_seeds: 100..199"),
        spec(gate="    controls: {null: zeros}"),
        spec(gate="    controls: {null: zero}"),
    ],
)
def test_sound_specs_are_not_accused(text):
    assert rules(found(text)) == set()


@pytest.mark.parametrize("claim", ["shuffle - p0 < 0", "p0 - shuffle > 0", "shuffle < p0"])
@pytest.mark.parametrize("p0", [0.005, 0.02])
def test_where_p0_is_near_zero_the_finding_says_what_to_ask_of_shuffle(claim, p0):
    rates = {**RATES, "p0": p0, "null": p0, "random": p0, "static": p0, "mean": p0, "shuffle": p0}
    findings = [
        one
        for one in found(spec(criterion(claim), rates=rates, evaluation=", score: greedy"))
        if one.rule in ("unattainable", "underpowered")
    ]
    assert findings
    assert all("normal - shuffle > 0, and shuffle - p0 < 0.05" in one.instead for one in findings)
    asked = criterion("shuffle - p0 < 0.05") + criterion("p0 < 0.10", name="y")
    assert not has_errors(found(spec(asked, rates=rates, evaluation=", score: greedy")))


@pytest.mark.parametrize("claim", ["high(shuffle) < low(p0)", "low(p0) > high(shuffle)"])
def test_compared_bounds_are_counted_from_the_lower_rate(claim):
    (overlap,) = [one for one in found(spec(criterion(claim))) if one.rule == "overlap"]
    assert overlap.number.startswith("with shuffle at 20 of 400, p0 must reach ")
    few = found(spec(criterion(claim), n=50, rates={**RATES, "p0": 0.10}))
    (unattainable,) = [one for one in few if one.rule == "unattainable"]
    assert unattainable.number.startswith("even with no success of shuffle its bound is ")


def test_where_p0_is_a_real_guess_the_strong_form_is_asked_for():
    assert rules(found(spec(criterion("shuffle - p0 < 0")))) == set()
    weak = {**RATES, "p0": 0.10, "shuffle": 0.09}
    (finding,) = [
        one
        for one in found(spec(criterion("shuffle - p0 < 0"), rates=weak))
        if one.rule == "underpowered"
    ]
    assert "near 0" not in finding.instead


def test_a_required_gates_controls_count():
    text = (
        spec()
        + """
  h:
    requires: [g]
    conditions: [p0, normal]
    expect: {p0: 0.25, normal: 0.9}
    criteria:
      - {id: above, claim: normal - p0 > 0.1}
"""
    )
    assert rules(found(text)) == set()
    alone = found(text.replace("    requires: [g]\n", ""))
    assert [one.rule for one in alone].count("missing-control") == 2


def test_the_n_that_is_named_reaches_the_power():
    text = spec(criterion("random - p0 < 0.10"), n=200)
    (finding,) = [one for one in found(text) if one.rule == "underpowered"]
    assert finding.number == "power 0.63 at n 200, 0.8 is due"
    n = int(re.search(r"n: (\d+)", finding.instead)[1])
    assert "underpowered" not in rules(found(text.replace("n: 200", f"n: {n}")))
    assert "underpowered" in rules(found(text.replace("n: 200", f"n: {n - 10}")))


def test_declared_correlation_raises_power():
    text = spec(criterion("random - p0 < 0.10"), n=200)
    likely = text.replace("expect: {p0", "expect: {correlation: 0.6, p0")
    assert "underpowered" in rules(found(text))
    assert "underpowered" not in rules(found(likely))


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("method: wilson", "method: mystery", "the method is 'mystery'; allowed: tango"),
        ("method: wilson", "method: nam-blackwelder", "does not decide this claim; allowed: tango"),
        ("where: null fails", "where: nul fails", "unknown condition 'nul' in where"),
        ("where: null fails", "where: null maybe", "allowed: 'CONDITION fails'"),
        ("best_of: {k: [2, 4]}", "best_of: {k: [2]}", "at least two values"),
        ("best_of: {k: [2, 4]}", "best_of: {k: [2, 4], layer: [1, 2]}", "sweeps 2 parameters"),
        ("looks: [10, 20]", "looks: [20, 10]", "a whole number from 21 to 1000000"),
        ("looks: [10, 20]", "sequential: {rule: pocock}", "unknown sequential rule 'pocock'"),
        ("looks: [10, 20]", "sequential: {rule: e-process}", "lacks the key 'block'"),
        ("looks: [10, 20]", "k: {any: [4, 4]}", "k 4 stands twice"),
        ("looks: [10, 20]", "k: {some: [4]}", "unknown key 'some'"),
        ("looks: [10, 20]", "controls: {null: ones}", "unknown form of null 'ones'"),
        ("looks: [10, 20]", "controls: {p0: zeros}", "unknown key 'p0' in controls"),
        ("train_seed: 6", "train_seed: 9..6", "a whole number from 0 on"),
    ],
)
def test_mistakes_in_the_design_keys_are_named(old, new, says):
    from lpca.gatespec.load import SpecError

    extra = ", method: wilson, where: null fails, best_of: {k: [2, 4]}"
    text = spec(criterion("normal > p0", extra), task=", train_seed: 6", gate="    looks: [10, 20]")
    assert text.count(old) == 1
    with pytest.raises(SpecError) as caught:
        found(text.replace(old, new))
    assert says in str(caught.value)


def test_any_of_several_k_is_planned_at_the_level_its_first_k_must_reach():
    """At 0.05 a side n 60 can show ±0.05; at a fourth of that it takes 96."""
    claim = criterion("abs(embed - p1) < 0.05", ", expect: {discordant: 0.0}")
    every = found(spec(claim, n=60, gate="    k: [4, 8, 16, 32]"))
    assert "unattainable" not in rules(every)
    any_of = found(spec(claim, n=60, gate="    k: {any: [4, 8, 16, 32]}"))
    assert "unattainable" in rules(any_of)
    wide = "    k: {any: [1, 2, 3, 4, 5, 6, 7, 8]}"
    weak = criterion("p1 - p0 > 0.455", name="weak")
    assert "underpowered" not in rules(found(spec(weak)))
    assert "underpowered" in rules(found(spec(weak, gate=wide)))


def test_what_only_warns_is_no_control_and_needs_no_power():
    warned = SOUND.replace("shuffle > 0}", "shuffle > 0, severity: warn}")
    rules = {one.rule for one in found(spec(sound=warned)) if one.severity == "error"}
    assert "missing-control" in rules
    hopeless = criterion("normal - p1 > 0.30", ", severity: warn")
    assert not has_errors(found(spec(hopeless)))
    assert has_errors(found(spec(criterion("normal - p1 > 0.30"))))


WEAK = """
      - {id: s1, claim: normal - shuffle > -0.10}
      - {id: s2, claim: normal - null > -0.10}"""


@pytest.mark.parametrize(
    "text",
    [
        spec(criterion("normal - static > 0.10"), sound=WEAK),
        spec(criterion("normal - mean > 0.10"), sound=WEAK),
        spec(criterion("normal - 0.5*shuffle - 0.5*static > 0"), sound=WEAK),
        # between the steps of an adversary's levels
        spec(criterion("0.32 < normal < 0.38"), n=10_000, sound=WEAK, rates={"p0": 0.25}),
        # what nobody expects may be as the claim on it alone wants it
        spec(
            criterion("p1 < 0.6") + criterion("normal > 0.65", name="y"),
            sound=WEAK,
            rates={"normal": 0.8, "shuffle": 0.05, "null": 0.25},
        ),
        # fifty readings show what one does not
        spec(
            n=100,
            sound=WEAK.replace("shuffle > -0.10", "shuffle > -0.03").replace("> -0.10", "> 0"),
            evaluation=", score: greedy, repeats: 50, temperature: 1",
        ),
    ],
)
def test_a_magic_prompt_may_surpass_the_trained_control_and_choose_what_is_left_open(text):
    assert "passes-adversary" in rules(found(with_conditions(text)))


def with_conditions(text):
    """The spec with every condition run, also those of which no rate is expected."""
    return re.sub(r"conditions: \[.*\]", f"conditions: [{', '.join(RATES)}]", text)


@pytest.mark.parametrize("claim", ["p1 > 0", "normal - shuffle > -1", "0 < normal < 1"])
def test_a_bound_that_no_bet_can_beat_is_a_finding(claim):
    text = spec(criterion(claim), gate="    sequential: {rule: e-process, block: 50}")
    assert "unattainable" in rules(found(text))


def test_the_level_of_equivalences_matters_where_there_are_any():
    level = ", confidence: 0.85"
    assert "low-confidence" not in rules(found(spec(evaluation=level)))
    claim = criterion("abs(null - p0) < 0.15")
    assert "low-confidence" in rules(found(spec(claim, evaluation=level)))


def test_gates_that_require_one_another_along_many_ways_are_each_decided_once():
    from lpca.judge.decide import judge
    from lpca.judge.outcomes import OutcomeTable

    body = spec().split("gates:\n  g:\n")[1]
    names = [f"g{i}" for i in range(30)]
    gates = "".join(
        f"  {name}:\n    requires: [{', '.join(names[i + 1 :])}]\n{body}\n"
        for i, name in enumerate(names)
    )
    many = parse_spec(f"{spec().split('gates:')[0]}gates:\n{gates}")
    from lpca.checker.adversaries import truth
    from lpca.checker.decision import decide_tables
    from lpca.checker.simulate import Simulator

    gate = many.gates["g0"]
    drawn = Simulator(many, gate).draw(truth(many, gate), 10)
    assert (decide_tables(many, gate, drawn) == 1).all()
    right = {"normal": True, "shuffle": False, "null": False}
    outcomes = {name: (right.get(name, True),) * 400 for name in RATES}
    assert judge(many, "g0", OutcomeTable(tuple(range(400)), outcomes)).verdict == "PASS"
