"""A gate that requires another is not measured where that one does not pass."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from lpca.evaluation.block import Computed, Job, run_block
from lpca.evaluation.evaluate import Evaluated, evaluate
from lpca.evaluation.outcome import Outcome
from lpca.gate.measure import STEPS, Measurement, Subject, measured
from lpca.gate.plan import task_of
from lpca.gatespec.load import parse_spec
from lpca.judge.decide import judge
from lpca.receivers.model import Receiver

N = 12
SPEC = """
version: 1
task: {{name: trip, options: 4, seed: 5}}
evaluation: {{n: {n}, cluster: none, why: the order of work is looked at}}
gates:
  base:
    answers: seen
    {rule}
    conditions: [p0, p1]
    criteria:
      - {{id: text_helps, claim: {claim}}}
  whole:
    answers: seen
    {rule}
    requires: [base]
    conditions: [p0, p1, p2_16]
    criteria:
      - {{id: text_is_read, claim: p1 - p0 > -0.90}}
"""
PASSES, FAILS = "p1 - p0 > -0.90", "p1 - p0 > 0.90"


class Counted:
    """Measures gate `whole`, and counts the outcomes that are computed."""

    def __init__(self, receiver: Receiver, folder: Path) -> None:
        self.receiver, self.folder, self.noise = receiver, folder, 0.0
        self.computed, self.told = Counter[str](), list[tuple[int, int]]()

    def __call__(self, claim: str, rule: str = "", n: int = N) -> Measurement:
        self.computed.clear()
        self.spec = parse_spec(SPEC.format(claim=claim, rule=rule, n=n))
        subject = Subject(self.receiver, self.receiver.state_hash(), task_of(self.spec))
        with measured(
            *(self.spec, "whole", subject, self.folder, self.folder),
            steps=replace(STEPS, evaluate=self.evaluate, run_block=self.read_again),
            report=lambda done, total: self.told.append((done, total)),
            checks=(),
        ) as measurement:
            return measurement

    def evaluate(self, *given: Any) -> Evaluated:
        # what is read again afterwards, to see how far rounding moves it, is no evaluation
        return evaluate(*given[:-1], self.run_block)

    def read_again(self, receiver: Receiver, jobs: Sequence[Job], batch_size: int) -> Computed:
        for job, records in run_block(receiver, jobs, batch_size):
            yield job, tuple(moved(one, self.noise) for one in records)

    def run_block(self, receiver: Receiver, jobs: Sequence[Job], batch_size: int) -> Computed:
        self.computed.update({job.condition: len(job.episodes) for job in jobs})
        return run_block(receiver, jobs, batch_size)


def moved(record: Outcome, by: float) -> Outcome:
    """The right option's score is another."""
    scores = list(record.scores)
    scores[record.answer] += by
    return replace(record, scores=tuple(scores))


@pytest.fixture
def counted(llama: Receiver, tmp_path: Path) -> Counted:
    return Counted(llama, tmp_path)


def test_where_the_required_gate_fails_nothing_else_is_computed(counted: Counted) -> None:
    found = counted(FAILS)
    assert counted.computed == {"p0": N, "p1": N}
    assert set(found.outcomes) == {"p0", "p1"}
    result = judge(counted.spec, "whole", found.table)
    assert result.verdict == "INVALID"
    assert result.reasons[0].startswith("required gate base is FAIL")
    assert counted.told[-1] == (2 * N, 2 * N), "what is shown comes to its end"


def test_where_it_passes_everything_is_computed_once(counted: Counted) -> None:
    found = counted(PASSES)
    assert counted.computed == {"p0": N, "p1": N, "p2_16": N}
    assert not found.evaluated.cached, "what was computed here was not there from before"
    assert {total for _, total in counted.told} == {3 * N}
    again = counted(PASSES)
    assert not counted.computed
    assert {c: [o.scores for o in own] for c, own in found.outcomes.items()} == {
        c: [o.scores for o in own] for c, own in again.outcomes.items()
    }


def test_with_looks_the_required_gate_is_followed_to_its_own_end(counted: Counted) -> None:
    rule = "sequential: {rule: e-process, block: 20}"
    found = counted(FAILS, rule, 60)
    assert set(counted.computed) == {"p0", "p1"}
    assert counted.computed["p0"] == len(found.episodes)
    assert len(found.episodes) < 60
    assert judge(counted.spec, "whole", found.table).verdict == "INVALID"


def test_a_required_gate_that_rounding_leaves_undecided_is_followed_further(
    counted: Counted,
) -> None:
    counted.noise = 1e3
    found = counted(FAILS, "sequential: {rule: e-process, block: 20}", 60)
    assert len(found.episodes) == 60
    result = judge(counted.spec, "whole", found.table)
    assert result.verdict == "INVALID"
    assert result.reasons[0].startswith("required gate base is INCONCLUSIVE")
