"""Codecs of several training seeds judged together: one verdict, about the recipe."""

from __future__ import annotations

from dataclasses import replace

import pytest
from gate_project import HEAD

from examples.own_codec import Cut
from lpca.api import run_gate
from lpca.base.arguments import parse_seeds
from lpca.base.errors import RequestError
from lpca.codec.checkpoint import identify
from lpca.codec.store import Obtained
from lpca.gate import runner
from lpca.gate.measure import STEPS
from lpca.gate.recipe import recipe_verdict
from lpca.gatespec.load import load_spec
from lpca.judge.decide import judge
from lpca.judge.outcomes import OutcomeTable
from lpca.stats.verdicts import Verdict

GATE = """
  main:
    title: The channel carries the message
    answers: seen
    conditions: [p0, normal, null, shuffle]
    expect: {p0: 0.25, normal: 0.95, null: 0.25, shuffle: 0.02}
    criteria:
      - {id: above_null, claim: normal - null > 0}
      - {id: above_shuffle, claim: normal - shuffle > 0}
"""
TOGETHER = ("-m", "main", "-p", "no:cacheprovider", "--k", "16", "--train-seeds")


class Told:
    """A codec that is trained by nobody: the message's own embeddings; of seed 1 always one's."""

    port = None

    def __init__(self, receiver, k, seed):
        self.cut, self.seed = Cut(receiver, k), seed

    def encode(self, messages):
        heard = ["Ida goes to Rome."] * len(messages) if self.seed == 1 else messages
        return self.cut.encode(heard)

    def decode(self, latents):
        return latents


@pytest.fixture(autouse=True)
def nothing_is_trained(monkeypatch):
    def obtain(receiver, task, request, *rest):
        codec = Told(receiver, request.k, request.seed)
        identity = identify(receiver, task, request.k, request.seed, request.recipe)
        return Obtained(codec, identity, "cached", {"weights_sha256": f"{request.seed:064}"})

    monkeypatch.setattr(runner, "STEPS", replace(STEPS, obtain_codec=obtain))


def test_a_seed_that_does_not_hold_decides_for_the_recipe(project):
    project.write(GATE, HEAD.replace("n: 60", "n: 30"))
    result = project.run(*TOGETHER, "0,1")
    assert result.ret in (1, 6)
    result.stdout.fnmatch_lines(
        [
            "main k=16 seed=0: PASS (this seed alone)*",
            "main k=16 seed=1: * (this seed alone)*",
            "main k=16 training seeds 0, 1: *",
            "  seed 0: PASS",
            "  seed 1: *",
            "  both must pass, each at the gate's own level: no alpha is spent by that, *",
        ]
    )
    evidence = project.evidence("main-k16-seed1")
    assert (evidence["train_seeds"], evidence["codec"]["seed"]) == ([0, 1], 1)
    [counted] = [c for c in evidence["checks"] if c["id"] == "checkpoints_accounted"]
    assert "the first codec (its 2 training seeds count as one" in counted["detail"]


def test_a_recipe_from_python_comes_to_the_same(project, monkeypatch, tmp_path):
    monkeypatch.setenv("LPCA_CACHE", str(tmp_path / "cache"))
    spec = project.path / "gate_specs.yaml"
    project.write(GATE, HEAD.replace("n: 60", "n: 30"))
    how = {"receiver": "stub", "device": "cpu", "k": 16, "spec": spec}
    run = run_gate("main", train_seeds=(0, 1), **how)
    by_seed = {seed: own.verdict for seed, own in run.by_seed.items()}
    assert by_seed[0] == "PASS"
    assert by_seed[1] in ("FAIL", "INCONCLUSIVE")
    assert (run.verdict, run.found.train_seed) == (run.recipe.verdict, 1)
    assert run.verdict != "PASS"
    assert repr(run) == f"<GateRun main k=16 training seeds 0, 1: {run.verdict}>"
    assert "both must pass, each at the gate's own level" in str(run)
    assert run._repr_html_().count('class="lpca-gate"') == 2
    assert (project.path / ".lpca/evidence/main-k16-seed1.json").is_file()
    with pytest.raises(RequestError, match="train_seeds and codec: allowed: one of them"):
        run_gate("main", train_seeds=(0, 1), codec=str(tmp_path), **how)
    with pytest.raises(RequestError, match="allowed: two or more different"):
        run_gate("main", train_seeds=(1, 1), **how)


def test_seeds_beside_a_seed_are_refused(project):
    result = project.run(*TOGETHER, "0,1", "--train-seed", "2")
    assert result.ret == 4
    result.stderr.fnmatch_lines(["*--train-seeds and --train-seed: allowed: one of them*"])


@pytest.mark.parametrize("text", ["0", "0,0", "0,-1", "", f"0,{2**63}"])
def test_seeds_that_are_no_several_are_refused(text):
    with pytest.raises(RequestError, match=r"--train-seeds .*: allowed: two or more different"):
        parse_seeds(text)


def table(normal, null, n=100):
    held = {"normal": normal, "null": null}
    return OutcomeTable(
        tuple(range(n)), {name: tuple(i < count for i in range(n)) for name, count in held.items()}
    )


def plain_spec(tmp_path):
    path = tmp_path / "gate_specs.yaml"
    path.write_text(
        "version: 1\ntask: {name: trip, seed: 5}\n"
        "evaluation: {n: 100, score: likelihood, confidence: 0.95, equivalence_confidence: 0.9}\n"
        "gates:\n  main:\n    conditions: [normal, null]\n    expect: {normal: 0.9, null: 0.3}\n"
        "    criteria:\n      - {id: above_null, claim: normal - null > 0.0}\n"
    )
    return load_spec(str(path))


def test_many_seeds_do_not_manufacture_a_failure(tmp_path):
    """One of five that fails at alpha alone is no finding; at alpha divided by five it is."""
    spec = plain_spec(tmp_path)

    def whole(failing):
        tables = [failing, *[table(90, 30)] * 4]
        by_seed = {seed: judge(spec, "main", own).verdict for seed, own in enumerate(tables)}
        found = recipe_verdict(
            spec,
            spec.gates["main"],
            4,
            by_seed,
            {seed: {4: own} for seed, own in enumerate(tables)},
        )
        return by_seed[0], found.verdict

    assert whole(table(30, 36)) == (Verdict.FAIL, Verdict.INCONCLUSIVE)
    assert whole(table(30, 80)) == (Verdict.FAIL, Verdict.FAIL)
    assert whole(table(90, 30)) == (Verdict.PASS, Verdict.PASS)


@pytest.mark.parametrize(
    ("verdicts", "whole"),
    [
        ((Verdict.PASS, Verdict.NOT_MEASURED), Verdict.NOT_MEASURED),
        ((Verdict.INVALID, Verdict.PASS), Verdict.INVALID),
        ((Verdict.PASS, Verdict.INCONCLUSIVE), Verdict.INCONCLUSIVE),
        ((Verdict.EXPLORED, Verdict.EXPLORED), Verdict.EXPLORED),
        ((Verdict.EXPLORED, Verdict.INVALID), Verdict.INVALID),
    ],
)
def test_a_recipe_passes_by_nothing_less_than_every_seed(tmp_path, verdicts, whole):
    spec = plain_spec(tmp_path)
    found = recipe_verdict(spec, spec.gates["main"], 4, dict(enumerate(verdicts)), {})
    assert found.verdict is whole
