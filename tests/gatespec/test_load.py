import re
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lpca.checker.check import check_spec
from lpca.gatespec.claims import parse_claim
from lpca.gatespec.load import SpecError, load_spec, parse_spec
from lpca.gatespec.model import PLAIN, cluster_of
from lpca.stats.claims import Difference

DEFAULT = Path(__file__).parents[2] / "gate_specs.yaml"
SPEC = """\
version: 1
task: {name: trip, seed: 7, options: 4, hard: true, ratio: 0.5, label: on, quoted: '3'}
evaluation: {n: 400, score: likelihood, confidence: 0.95, equivalence_confidence: 0.90}
gates:
  gate0:
    conditions: [p0, p1]
    criteria:
      - id: p1_above_p0
        claim: p1 - p0 > 0.20
  gate1:
    title: The channel
    answers: seen
    requires: [gate0]
    conditions: [p0, normal, null]
    expect: {null: 0.25}
    criteria:
      - id: normal_above_null
        claim: normal - null > 0
        why: content
        expect: {discordant: 0.3}
"""


def error(old, new):
    assert SPEC.count(old) == 1
    with pytest.raises(SpecError) as caught:
        parse_spec(SPEC.replace(old, new))
    return str(caught.value).removeprefix("gate_specs.yaml:")


def test_the_default_spec_is_read_whole():
    spec = load_spec(DEFAULT)
    assert list(spec.gates) == ["gate0", "gate1", "carries", "gate1_open", "gate2", "gate3"]
    assert spec.evaluation.n == 400
    assert spec.task.settings == {"options": 4}
    criterion = spec.gates["gate1"].criteria[2]
    assert criterion.claim == Difference("normal", "p0", ">", 0.10)
    assert (criterion.position.line, criterion.position.column) == (47, 16)
    assert spec.gates["gate1"].criteria[0].expect_discordant == 0.0


def test_settings_and_defaults():
    spec = parse_spec(SPEC)
    assert spec.task.settings == {
        "options": 4,
        "hard": True,
        "ratio": 0.5,
        "label": "on",
        "quoted": "3",
    }
    gate0, gate1 = spec.gates.values()
    assert (gate0.title, gate0.answers, gate0.requires, gate0.expect) == ("gate0", "all", (), {})
    assert gate1.expect == {"null": 0.25}
    assert gate1.criteria[0].expect_discordant == 0.3
    assert str(gate1.position).endswith("gate_specs.yaml:10:3")


@pytest.mark.parametrize(
    ("old", "new", "start", "says"),
    [
        ("version: 1", "version: 2", "1:10: ", "allowed: a whole number from 1 to 1"),
        ("version: 1\n", "", "1:1: ", "lacks the key 'version'"),
        ("evaluation: {n", "evalution: {n", "3:1: ", "did you mean 'evaluation'?"),
        ("n: 400, ", "", "3:13: ", "evaluation lacks the key 'n'"),
        ("n: 400", "n: 0", "3:17: ", "n is '0'; allowed: a whole number from 1 to 1000000"),
        ("n: 400", "n: 400.0", "3:17: ", "n is '400.0'"),
        ("n: 400", "n: '400'", "3:17: ", "n is '400'"),
        ("n: 400", "n: 1e3", "3:17: ", "a whole number"),
        ("n: 400", "n: " + "9" * 400, "3:17: ", "a whole number"),
        ("n: 400", "n: ", "3:17: ", "n is empty"),
        ("n: 400", "n: [400]", "3:17: ", "n is a list"),
        ("confidence: 0.95,", "confidence: 95,", "3:53: ", "above 0 and below 1"),
        ("confidence: 0.95,", "confidence: .nan,", "3:53: ", "above 0 and below 1"),
        ("confidence: 0.95,", "confidence: 1,", "3:53: ", "above 0 and below 1"),
        ("score: likelihood", "score: greed", "3:29: ", "did you mean 'greedy'?"),
        ("seed: 7, ", "", "2:7: ", "task lacks the key 'seed'"),
        ("seed: 7", "seed: -7", "2:26: ", "from 0 on"),
        ("ratio: 0.5", "ratio: .inf", "2:60: ", "a finite number"),
        ("ratio: 0.5", "ratio: 1e999", "2:60: ", "a finite number"),
        ("ratio: 0.5", "ratio: [1]", "2:60: ", "a list"),
        ("  gate0:", "  Gate0:", "5:3: ", "lower-case letters"),
        ("  gate0:", "  skip:", "5:3: ", "pytest does not use itself"),
        ("    title: The channel", "    titel: x", "11:5: ", "did you mean 'title'?"),
        ("title: The channel", "reported: [p1]", "11:16: ", "unknown reported condition 'p1'"),
        ("title: The channel", "max_bits: -1", "11:15: ", "from 0 to 1e+12"),
        ("title: The channel", "max_bits: many", "11:15: ", "a number"),
        (
            "[p0, p1]",
            "[p0, p1]\n    max_bits: 9",
            "7:15: ",
            "has max_bits and runs no condition in",
        ),
        ("answers: seen", "answers: unsen", "12:14: ", "did you mean 'unseen'?"),
        ("requires: [gate0]", "requires: [gate1]", "13:16: ", "unknown gate in requires"),
        ("requires: [gate0]", "requires: [gate00]", "13:16: ", "did you mean 'gate0'?"),
        ("requires: [gate0]", "requires: gate0", "13:15: ", "'gate0'; allowed: a list"),
        ("[p0, normal, null]", "[p0, nromal, null]", "14:22: ", "did you mean 'normal'?"),
        ("[p0, normal, null]", "[p0, normal, p0]", "14:30: ", "stands twice"),
        ("[p0, normal, null]", "[]", "14:17: ", "name at least one"),
        ("[p0, normal, null]", "[p0, normal]", "15:14: ", "unknown key 'null' in expect"),
        ("expect: {null: 0.25}", "expect: {null: 25}", "15:20: ", "from 0 to 1"),
        ("expect: {null: 0.25}", "expect: {p1: 0.2}", "15:14: ", "allowed: p0, normal, null"),
        ("id: normal_above_null", "id: normal-above", "17:13: ", "lower-case letters"),
        ("id: normal_above_null\n", "why: x\n", "19:9: ", "stands twice"),
        ("claim: normal - null > 0", "claim: normal - shuffle > 0", "18:25: ", "unknown condition"),
        ("claim: normal - null > 0", "claim: 'normal - nul > 0'", "18:26: ", "did you mean 'null'"),
        ("claim: normal - null > 0", "claim: [normal]", "18:16: ", "a list"),
        ("        claim: normal - null > 0\n", "", "17:9: ", "lacks the key 'claim'"),
        ("{discordant: 0.3}", "{discordant: 1.3}", "20:30: ", "from 0 to 1"),
        ("{discordant: 0.3}", "{disc: 0.3}", "20:18: ", "allowed: discordant"),
        (
            "n: 400,",
            "cluster: none, n: 400,",
            "3:23: ",
            "cluster 'none' without a why; allowed: gro",
        ),
        ("n: 400,", "cluster: grup, n: 400,", "3:23: ", "did you mean 'group'?"),
        ("why: content", "cluster: none", "19:18: ", "criterion normal_above_null has cluster"),
        ("why: content", "severity: note", "19:19: ", "allowed: error, warn"),
        ("n: 400,", "repeats: 3, n: 400,", "3:23: ", "repeats is '3' without a temperature"),
        (
            "n: 400,",
            "temperature: 0, n: 400,",
            "3:27: ",
            "temperature is '0'; allowed: a number abo",
        ),
        ("n: 400,", "normalised: byte, n: 400,", "3:26: ", "did you mean 'bytes'?"),
        (
            "n: 400, score: likelihood",
            "n: 400, normalised: bytes, score: greedy",
            "3:34: ",
            "normalised is 'bytes' beside score 'greedy'; allowed: none, or score: likelihood",
        ),
        ("{null: 0.25}", "{icc: 1.5}", "15:19: ", "from 0 to 1"),
        ("gates:", "prompt: {template: chta}\ngates:", "4:20: ", "did you mean 'chat'?"),
        ("gates:", "prompt: {sytem: x}\ngates:", "4:10: ", "did you mean 'system'?"),
        ("gates:", "prompt: {system: x}\ngates:", "4:18: ", "without a chat template; allowed: "),
        ("gates:", "prompt: {join: {answer: ' so '}}\ngates:", "4:25: ", "allowed: blanks in "),
        ("gates:", "prompt: {join: {anser: ''}}\ngates:", "4:17: ", "did you mean 'answer'?"),
    ],
)
def test_a_mistake_is_named_with_its_place_and_what_is_allowed(old, new, start, says):
    message = error(old, new)
    assert message.startswith(start), message
    assert says in message


def test_a_prompt_joins_with_spaces_and_a_chats_answer_with_nothing():
    assert parse_spec(SPEC).prompt == PLAIN
    for keys, join in (
        ("{template: none}", (" ", " ")),
        ("{template: chat}", (" ", "")),
        (r'{template: chat, join: {answer: "\n", message: ""}}', ("", "\n")),
        ('{join: {answer: ""}}', (" ", "")),
    ):
        prompt = parse_spec(SPEC.replace("gates:", f"prompt: {keys}\ngates:")).prompt
        assert (prompt.join_message, prompt.join_answer) == join, keys


def test_groups_repeats_graded_scores_and_warnings_are_declared():
    stated = "cluster: none, why: one run, score: graded, repeats: 3, temperature: 0.7"
    text = SPEC.replace("score: likelihood", stated).replace(
        "{null: 0.25}", "{null: 0.25, icc: 0.5}"
    )
    found = parse_spec(text.replace("why: content", "cluster: group\n        severity: warn"))
    evaluation, gate = found.evaluation, found.gates["gate1"]
    assert (evaluation.cluster, evaluation.score, evaluation.repeats) == ("none", "graded", 3)
    assert (gate.icc, gate.expect, gate.criteria[0].decides) == (0.5, {"null": 0.25}, False)
    assert cluster_of(gate.criteria[0], evaluation) == "group"
    plain = parse_spec(SPEC)
    assert (plain.evaluation.cluster, plain.evaluation.repeats) == ("group", 1)
    assert plain.gates["gate1"].criteria[0].decides


def test_gates_that_require_each_other_are_refused():
    message = error(
        "    conditions: [p0, p1]\n", "    conditions: [p0, p1]\n    requires: [gate1]\n"
    )
    assert message.startswith("5:3: ")
    assert "requires itself" in message


def test_no_gate_and_no_criterion_are_refused():
    head = SPEC[: SPEC.index("gates:")]
    with pytest.raises(SpecError, match=r":4:8: gates is an empty mapping"):
        parse_spec(head + "gates: {}\n")
    with pytest.raises(SpecError, match=r":4:44: gate g has no criterion"):
        parse_spec(head + "gates: {g: {conditions: [p0], criteria:    []}}\n")


ORIGINAL = (DEFAULT.parent / "examples" / "original_gates.yaml").read_text(encoding="utf-8")
LINES = [*SPEC.splitlines(), *ORIGINAL.splitlines()]
PIECES = st.sampled_from(
    [*LINES, *(line.strip() for line in LINES), "null", "- [", "}", "'", "\t", ": :", "1e999", "é"]
)


@settings(max_examples=200, deadline=None)
@given(
    st.sampled_from([SPEC, ORIGINAL]),
    st.lists(PIECES, max_size=25).map("\n".join),
    st.integers(0, len(ORIGINAL)),
    st.integers(0, 40),
)
def test_any_yaml_is_a_spec_or_a_spec_error(base, text, start, length):
    for content in (text, base[:start] + base[start + length :], base[:start] + text):
        with suppress(SpecError):
            assert parse_spec(content).gates


@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, len(ORIGINAL.splitlines()) - 1), st.sampled_from(["0", "1", "0.5", "1000000"])
)
def test_whatever_is_a_spec_can_be_checked(line, number):
    lines = ORIGINAL.splitlines()
    lines[line] = re.sub(r"[0-9]+(\.[0-9]+)?\b", number, lines[line], count=1)
    with suppress(SpecError):
        assert all(finding.instead for finding in check_spec(parse_spec("\n".join(lines))))


def test_the_reference_shows_a_sound_spec():
    reference = (DEFAULT.parent / "docs" / "spec-reference.md").read_text(encoding="utf-8")
    (example,) = re.findall(r"```yaml\n(.*?)```", reference, re.S)
    assert check_spec(parse_spec(example)) == []


def test_the_reference_names_every_claim():
    reference = (DEFAULT.parent / "docs" / "spec-reference.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (`.*?) \| .*? \| (.*?) \|$", reference.partition("## Claims")[2], re.M)
    assert len(rows) == 9
    for written, method in rows:
        for text in re.findall(r"`(.*?)`", written):
            own = parse_claim(text).method
            assert (f"`{own}`" in method) if own else (method == "refused"), text


def test_any_of_several_k_keeps_its_fixed_n():
    rule = "    sequential: {rule: e-process, block: 50}\n    k: FAMILY\n    conditions"
    head, tail = SPEC.rsplit("    conditions", 1)
    text = head + rule + tail
    assert parse_spec(text.replace("FAMILY", "{all: [4, 8]}")).gates["gate1"].family == (4, 8)
    with pytest.raises(
        SpecError, match="gate gate1 stops early and takes any of several k"
    ) as error:
        parse_spec(text.replace("FAMILY", "{any: [4, 8]}"))
    assert error.value.position.line == 1 + text[: text.index("sequential")].count("\n")
