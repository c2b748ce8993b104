"""The schema is that of the loader: what one takes the other takes, but for named exceptions."""

import copy
import json
import re
import runpy
from pathlib import Path
from typing import get_args

import gate_project
import jsonschema
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from lpca.commands.cli import main
from lpca.gatespec.keys import EXPECT, SEQUENTIAL, SPEC, json_schema
from lpca.gatespec.load import SpecError, parse_spec
from lpca.gatespec.model import CONDITIONS, SequentialRule
from lpca.gatespec.sections import REQUIRED

ROOT = Path(__file__).parents[2]
SHIPPED = ROOT / "lpca" / "gatespec" / "gate_specs.schema.json"
SCHEMA = jsonschema.Draft202012Validator(json_schema())


class Core(yaml.SafeLoader):
    """YAML 1.2's core schema, by which editors resolve plain words."""

    yaml_implicit_resolvers = {}  # noqa: RUF012


for tag, pattern in {
    "null": r"~|null|Null|NULL|",
    "bool": r"true|True|TRUE|false|False|FALSE",
    "int": r"[-+]?[0-9]+",
    "float": r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.inf|\.nan",
}.items():
    Core.add_implicit_resolver(f"tag:yaml.org,2002:{tag}", re.compile(f"^(?:{pattern})$"), None)


def instance(text):
    """A document as JSON, whose keys are words."""

    def words(value):
        if isinstance(value, dict):
            return {"null" if key is None else str(key): words(one) for key, one in value.items()}
        return [words(one) for one in value] if isinstance(value, list) else value

    return words(yaml.load(text, Core))


def refused(text):
    """The loader's refusal, if any."""
    try:
        parse_spec(text)
    except SpecError as error:
        return error.message
    return None


def is_spec(text):
    """Files of the lab and recipes are YAML too, and have no gates."""
    return re.search(r"^gates:", text, re.M) is not None


def specs():
    for path in (
        *ROOT.glob("*.yaml"),
        *ROOT.glob("examples/**/*.yaml"),
        *ROOT.rglob("lpca/**/*.yaml"),
    ):
        if is_spec(path.read_text(encoding="utf-8")):
            yield str(path.relative_to(ROOT)), path.read_text(encoding="utf-8")
    for page in ROOT.glob("docs/*.md"):
        for number, text in enumerate(re.findall(r"```yaml\n(.*?)```", page.read_text(), re.S)):
            if text.startswith("version:") and is_spec(text):
                yield f"{page.name}-{number}", text
    yield "tests", gate_project.HEAD + gate_project.BASE + gate_project.MAIN


@pytest.mark.parametrize("text", [pytest.param(text, id=name) for name, text in specs()])
def test_every_spec_of_the_project_is_one_to_the_schema(text):
    assert refused(text) is None
    assert [error.message for error in SCHEMA.iter_errors(instance(text))] == []


def test_the_shipped_schema_and_the_reference_are_generated(capsys):
    made = runpy.run_path(str(ROOT / "tools" / "make_reference.py"))
    text = made["REFERENCE"].read_text(encoding="utf-8")
    assert made["reference"](text) == text, "run python tools/make_reference.py"
    assert text.count("<!-- generated: ") == 6
    assert main(["schema"]) == 0
    assert capsys.readouterr().out == SHIPPED.read_text(encoding="utf-8"), (
        "run python tools/make_reference.py"
    )
    jsonschema.Draft202012Validator.check_schema(json.loads(SHIPPED.read_text(encoding="utf-8")))


def test_the_schema_is_written_to_a_file(tmp_path, capsys):
    path = tmp_path / "deep" / "schema.json"
    assert main(["schema", "--out", str(path)]) == 0
    assert path.read_bytes() == SHIPPED.read_bytes()
    (tmp_path / "file").write_text("")
    assert main(["schema", "--out", str(tmp_path / "file" / "schema.json")]) == 4
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_specs_name_the_schema_that_is_there():
    for path in (ROOT / "gate_specs.yaml", *ROOT.glob("examples/*_gates.yaml")):
        first = path.read_text(encoding="utf-8").splitlines()[0]
        name = first.removeprefix("# yaml-language-server: $schema=")
        assert (path.parent / name).resolve() == SHIPPED, path


def test_the_tables_know_every_word_of_the_model():
    assert tuple(SEQUENTIAL.tables) == get_args(SequentialRule)
    assert EXPECT.names == (*CONDITIONS, "correlation", "icc")
    assert [key.name for key in SPEC.keys if key.default is not REQUIRED] == ["prompt"]


FULL = {
    "version": 1,
    "task": {
        "name": "trip",
        "seed": 7,
        "options": 4,
        "train_seed": [8, "9..11", [12]],
        "other_seeds": "20..30",
    },
    "evaluation": {
        "n": 400,
        "score": "greedy",
        "confidence": 0.95,
        "equivalence_confidence": 0.9,
        "checkpoints": 3,
    },
    "prompt": {
        "template": "chat",
        "system": "Answer with a name.",
        "join": {"message": " ", "answer": ""},
    },
    "gates": {
        "first": {
            "conditions": ["p0", "p1"],
            "sequential": {"rule": "obrien-fleming", "looks": 4},
            "k": [4, 8],
            "criteria": [{"id": "helps", "claim": "p1 - p0 > 0.2"}],
        },
        "second": {
            "title": "All keys",
            "answers": "seen",
            "requires": ["first"],
            "beside": ["first"],
            "conditions": ["p0", "normal", "null"],
            "expect": {"p0": 0.25, "null": 0.25, "correlation": 0.5},
            "n": 100,
            "looks": [50, 100],
            "sequential": {"rule": "e-process", "block": 50},
            "where": "null fails",
            "best_of": {"scale": [0.5, 1], "confirm": {"seed": 9}},
            "k": {"all": [4, 8]},
            "controls": {"null": "zeros"},
            "criteria": [
                {
                    "id": "content",
                    "claim": "normal - null > 0",
                    "why": "content",
                    "expect": {"discordant": 0.3},
                    "method": "tango",
                    "confidence": 0.95,
                    "where": "null",
                    "best_of": {"scale": ["low", "high"]},
                }
            ],
        },
    },
}
RELATIONS = re.compile(
    r"unknown condition .*allowed: ((p0|p1|normal|null)(, |$))*$"
    r"|unknown gate in |unknown key '\w+' in (expect|controls); .*allowed: (p0|normal|null|p1|$)"
    r"|requires itself|a look is |takes any of several k|does not decide this claim|the method is "
    r"|where is |unknown condition .* in where|without a chat template"
)
"""Refusals for what a value is beside others, or for a grammar: beyond a schema."""
RESOLVED = "True is not of type 'string'"
"""What a schema says of a word that YAML resolves to another type."""


def places(node, path=()):
    """The path of every value inside a document."""
    for key, value in node.items() if isinstance(node, dict) else enumerate(node):
        yield (*path, key)
        if isinstance(value, dict | list):
            yield from places(value, (*path, key))


def changed(path, change):
    document = copy.deepcopy(FULL)
    owner = document
    for key in path[:-1]:
        owner = owner[key]
    change(owner, path[-1])
    return document


def mutants(path):
    """The document without a value, with others in its place, and under other keys."""
    yield changed(path, lambda owner, key: owner.pop(key))
    for value in VALUES:
        yield changed(path, lambda owner, key, value=value: owner.__setitem__(key, value))
    if isinstance(path[-1], str):
        for name in KEYS:
            yield changed(path, lambda owner, key, name=name: rename(owner, key, name))


def rename(owner, key, name):
    owner.setdefault(name, owner.pop(key))


def unlike(document):
    """How loader and schema differ over a document; None where they agree."""
    refusal = refused(json.dumps(document))
    valid = SCHEMA.is_valid(document)
    if valid == (refusal is None) or (refusal and RELATIONS.search(refusal)):
        return None
    faults = [error.message[:200] for error in SCHEMA.iter_errors(document)]
    return None if faults == [RESOLVED] else refusal or faults


VALUES = (
    *(-1, 0, 1, 2, 20, 21, 100, 101, 512, 513, 1_000_000, 1_000_001, 10**12, 10**12 + 1),
    *(-0.5, 0.5, 1e-10, 1e-9, 0.999999999, 0.9999999999, 1.5, True, "", " ", "word", "p1", "skip"),
    *("9..11", "9..x", "unseen", "likelihood", "e-process", "e_process", "obrien-fleming"),
    *("decode(0)", "p1 - p0 > 0", "p1 - q0 > 0", "p1 - p0", "x" * 201, "p1>" + "0" * 198),
    *([], [1], [1, 1], [1, 2], ["p0"], ["p0", "p0"], [[]], [True], ["a", "b"]),
    *({}, {"x": 1}, {"any": [4]}, {"all": [4]}, {"any": [4], "all": [4]}, {"scale": [1, 2]}),
    *({"scale": [1]}, {"scale": [1, 2], "other": [1, 2]}, {"confirm": {"seed": 1}}),
    *({"rule": "e-process", "looks": 4}, {"rule": "e-process", "block": 4}, {"null": "ones"}),
)


KEYS = ("extra", "Extra", "null", "k", "n", "any", "train_seed", "and")


def test_both_agree_on_every_single_change():
    assert unlike(FULL) is None
    assert refused(json.dumps(FULL)) is None
    differ = [
        (path, found)
        for path in places(FULL)
        for mutant in mutants(path)
        if (found := unlike(mutant))
    ]
    assert differ == []


@pytest.mark.parametrize(
    ("path", "value", "loads"),
    [
        (("evaluation", "n"), 400.0, False),
        (("gates", "second", "looks"), [100, 50], False),
        (("gates", "second", "conditions"), ["p0", "null"], False),
        (("gates", "second", "requires"), ["third"], False),
        (("gates", "second", "criteria", 0, "claim"), "normal > > 0", False),
        (("gates", "second", "criteria", 0, "method"), "anything", False),
    ],
)
def test_a_schema_takes_what_only_the_loader_can_refuse(path, value, loads):
    document = changed(path, lambda owner, key: owner.__setitem__(key, value))
    assert SCHEMA.is_valid(document)
    assert (refused(json.dumps(document)) is None) == loads


@pytest.mark.parametrize(
    ("path", "value"),
    [(("task", "options"), None), (("gates", "second", "criteria", 0, "id"), True)],
)
def test_a_word_that_yaml_resolves_needs_quotes_for_the_schema(path, value):
    document = changed(path, lambda owner, key: owner.__setitem__(key, value))
    assert refused(json.dumps(document)) is None
    assert not SCHEMA.is_valid(document)


@pytest.mark.parametrize("word", ["null", "'null'"])
def test_the_condition_null_is_taken_with_and_without_quotes(word):
    text = json.dumps(FULL).replace('"null"]', f"{word}]").replace('"null":', f"{word}:")
    text = text.replace('"where": "null"', f'"where": {word}')
    assert refused(text) is None
    assert SCHEMA.is_valid(instance(text))


@pytest.mark.parametrize(("number", "loads"), [(1, True), (48, True), (4096, True), (4097, False)])
def test_a_gate_may_name_any_number_of_bytes(number, loads):
    document, name = copy.deepcopy(FULL), f"p2_{number}"
    first = document["gates"]["first"]
    first["conditions"].append(name)
    first["expect"] = {name: 0.5}
    first["criteria"][0]["claim"] = f"p1 - {name} > 0"
    assert (refused(json.dumps(document)) is None) == loads
    assert SCHEMA.is_valid(document) == loads
    first["conditions"].pop()
    assert refused(json.dumps(document)) is not None


WORDS = st.sampled_from(
    [*CONDITIONS, "p2_7", "q0", "abs(", "low(", ")", "0.5", "1e-2", ">", "<", "≈", "-"]
)


@settings(max_examples=200, deadline=None)
@given(st.lists(WORDS, min_size=1, max_size=9).map(" ".join))
def test_no_claim_is_refused_that_the_loader_takes(claim):
    document = changed(
        ("gates", "first", "conditions"), lambda owner, key: owner.update({key: [*CONDITIONS]})
    )
    document["gates"]["first"]["criteria"][0]["claim"] = claim
    if refused(json.dumps(document)) is None:
        assert SCHEMA.is_valid(document)


def test_a_long_text_that_is_no_claim_is_refused_at_once():
    pattern = json_schema()["properties"]["gates"]["additionalProperties"]["properties"]
    pattern = pattern["criteria"]["items"]["properties"]["claim"]["pattern"]
    for text in ("1" * 200 + "x", "> " + "1." * 90 + "e", "p0 p1 " * 30 + "!", "- " * 99 + "q"):
        assert re.search(pattern, text) is None
