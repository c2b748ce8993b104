"""Gates over several k end to end: all of them, or any of a declared family."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import nn

from lpca.gate import runner
from lpca.gate.measure import STEPS

GATE = """
  main:
    title: The channel carries the message
    answers: seen
    conditions: [p0, normal, null, shuffle]
    expect: {p0: 0.25, normal: 0.95, null: 0.25, shuffle: 0.02}
    k: FAMILY
    criteria:
      - {id: above_null, claim: normal - null > 0}
      - {id: above_shuffle, claim: normal - shuffle > 0}
"""
DECLARED = ["[4, 8]", "{all: [4, 8]}"]


class Deaf(nn.Module):
    """A codec that gives every message one prefix, as training may leave it."""

    port = None

    def __init__(self, receiver, k):
        super().__init__()
        self.prefix = 0.1 * torch.randn(k, receiver.d_model, generator=torch.manual_seed(k))

    def encode(self, messages):
        return self.prefix.expand(len(messages), -1, -1)

    def decode(self, latents):
        return latents


@pytest.fixture(autouse=True)
def only_k4_works(monkeypatch):
    def obtain(receiver, task, request, *rest):
        found = STEPS.obtain_codec(receiver, task, replace(request, k=4), *rest)
        return found if request.k == 4 else replace(found, codec=Deaf(receiver, request.k))

    monkeypatch.setattr(runner, "STEPS", replace(STEPS, obtain_codec=obtain))


def run(project, family, *arguments):
    project.write(GATE.replace("    k: FAMILY\n", f"    k: {family}\n" if family else ""))
    return project.run("-m", "main", "-p", "no:cacheprovider", *arguments)


@pytest.mark.parametrize("ks", ["4,8", pytest.param("8,4", marks=pytest.mark.slow)])
def test_any_k_that_holds_carries_the_gate(project, ks):
    result = run(project, "{any: [4, 8]}", "--k", ks, "-rx")
    assert result.ret == 0
    outcomes = result.parseoutcomes()
    assert outcomes["xfailed"] >= 1
    assert "failed" not in outcomes
    result.stdout.fnmatch_lines(["*main passes at another k*"])
    result.stdout.fnmatch_lines(
        [
            "main any k of 4, 8: PASS",
            "  k=4: PASS, p * after Holm over 2 k",
            "  k=8: *, p * after Holm over 2 k",
        ]
    )
    assert project.evidence("main-k4")["verdict"] == "PASS"
    assert project.evidence("main-k8")["verdict"] != "PASS"


def test_a_family_of_which_none_holds_does_not_pass(project):
    result = run(project, "{any: [8, 16]}", "--k", "8,16")
    assert result.ret in (1, 6)
    assert "xfailed" not in result.parseoutcomes()
    assert result.parseoutcomes()["failed"] >= 1
    result.stdout.fnmatch_lines(["main any k of 8, 16: *"])


def test_a_k_that_was_not_run_still_counts_in_the_family(project):
    result = run(project, "{any: [4, 8]}", "--k", "4")
    assert result.ret == 0
    result.stdout.fnmatch_lines(
        ["main any k of 4, 8: PASS", "  k=4: PASS*", "  k=8: not run, counts as p 1"]
    )


def test_a_failing_k_alone_leaves_the_family_open(project):
    result = run(project, "{any: [4, 8]}", "--k", "8")
    assert result.ret == 6
    result.stdout.fnmatch_lines(["main any k of 4, 8: INCONCLUSIVE"])


def test_holm_over_many_k_takes_a_narrow_pass_away(project):
    wide = "[4, 8, 16, " + ", ".join(map(str, range(17, 84))) + "]"
    narrow = "above_null, claim: normal - null > 0.45"
    project.write(GATE.replace("above_null, claim: normal - null > 0", narrow))
    text = (project.path / "gate_specs.yaml").read_text()
    rates = "p0: 0.25, normal: 1.0, null: 0.15"
    text = text.replace("p0: 0.25, normal: 0.95, null: 0.25", rates)
    (project.path / "gate_specs.yaml").write_text(text.replace("FAMILY", "[4]"))
    alone = project.run("-m", "main", "-p", "no:cacheprovider")
    assert alone.ret == 0, "at k=4 alone the claim holds"
    (project.path / "gate_specs.yaml").write_text(text.replace("FAMILY", f"{{any: {wide}}}"))
    result = project.run("-m", "main", "-p", "no:cacheprovider", "--k", "4")
    assert result.ret == 6
    result.stdout.fnmatch_lines(["main*any k of 4, 8*: INCONCLUSIVE"])


@pytest.mark.parametrize(
    "family", ["", *(pytest.param(one, marks=pytest.mark.slow) for one in DECLARED)]
)
def test_without_any_every_k_must_hold(project, family):
    result = run(project, family, "--k", "4,8")
    assert result.ret in (1, 6)
    assert "xfailed" not in result.parseoutcomes()
    result.stdout.fnmatch_lines(["main k=4: PASS*"])


@pytest.mark.parametrize("family", DECLARED)
def test_a_declared_k_that_was_not_run_leaves_its_gate_unmeasured(project, family):
    result = run(project, family, "--k", "4")
    assert result.ret == 8
    result.stdout.fnmatch_lines(["main k=4: PASS*", "main k=8: NOT MEASURED*"])


def test_without_the_option_a_gate_runs_at_every_k_it_declares(project):
    result = run(project, "{any: [4, 8]}", "--collect-only", "-q")
    result.stdout.fnmatch_lines(["*main-above_null-k4?", "*main-above_null-k8?"])


def test_a_k_that_the_gate_does_not_declare_is_a_usage_error(project):
    result = run(project, "{any: [4, 8]}", "--k", "16")
    assert result.ret == 4
    result.stderr.fnmatch_lines(["ERROR: --k 16: gate main does not declare it; allowed: 4, 8"])


def test_a_check_that_fails_at_one_k_invalidates_the_family(project, monkeypatch):
    class Unrepeatable(Deaf):
        def encode(self, messages):
            self.prefix = self.prefix + 0.01
            return super().encode(messages)

    monkeypatch.setattr("test_families.Deaf", Unrepeatable)
    result = run(project, "{any: [4, 8]}", "--k", "4,8")
    assert result.ret == 7
    result.stdout.fnmatch_lines(["main any k of 4, 8: INVALID"])


def test_criteria_left_out_at_one_k_leave_the_family_unmeasured(project):
    result = run(project, "{any: [4, 8]}", "--k", "4,8", "-k", "k4 or above_null")
    assert result.ret == 8
    result.stdout.fnmatch_lines(["main any k of 4, 8: NOT MEASURED"])


def test_workers_agree_on_a_family(project):
    """Without the deaf codec: other processes do not see it."""
    result = run(project, "{any: [4, 512]}", "--k", "4", "-n", "2")
    assert result.ret == 0
    result.stdout.fnmatch_lines(["main any k of 4, 512: PASS"])
