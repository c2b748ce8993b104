"""A receiver that scales embeddings inside their module is trained through and judged as it is."""

from __future__ import annotations

import copy
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch

from lpca.base.hashing import hash_data
from lpca.codec.architectures.baselines import StaticPrefix
from lpca.codec.architectures.token_pooler import TokenPooler
from lpca.codec.channel import Channel
from lpca.codec.recipe import Recipe, Stage
from lpca.codec.training import Training
from lpca.gate.measure import Subject, measured
from lpca.gatespec.load import load_spec
from lpca.judge.decide import judge
from lpca.receivers.load import load_receiver
from lpca.receivers.model import Receiver
from lpca.tasks.kinds.trip import Trip

pytestmark = pytest.mark.usefixtures("one_thread")

K, SCALE = 2, 16.0
SPEC = """
version: 1
task: {name: trip, options: 4, seed: 0}
evaluation: {n: 8}
gates:
  eight:
    answers: seen
    conditions: [p0, p1, embed, normal, static, random]
    criteria:
      - {id: above_p0, claim: normal - p0 > 0}
      - {id: plumbing, claim: abs(embed - p1) < 0.5}
"""


class Scaled(torch.nn.Embedding):
    """As Gemma's: its table is smaller than what it gives."""

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        return super().forward(ids) * SCALE


def scaled(receiver: Receiver) -> Receiver:
    """The same function of the same tokens, from a smaller table."""
    model: Any = copy.deepcopy(receiver.model)
    table = model.get_input_embeddings().weight.detach()
    model.lm_head.weight = torch.nn.Parameter(table.clone(), requires_grad=False)
    model.set_input_embeddings(Scaled(*table.shape, _weight=table / SCALE).requires_grad_(False))
    return replace(receiver, model=model, weights_hash=hash_data("scaled"), loaded=None)


@pytest.fixture(scope="module")
def pair() -> tuple[Receiver, Receiver]:
    stub = load_receiver("stub", "cpu", "float32")
    return stub, scaled(stub)


def test_norms_are_of_what_the_model_is_given(pair: tuple[Receiver, Receiver]) -> None:
    stub, other = pair
    assert other.mean_embedding_norm == stub.mean_embedding_norm
    table = stub.embedding.weight.norm(dim=1)
    assert stub.mean_embedding_norm == pytest.approx(float(table[table > 0].mean()), rel=1e-6)
    assert torch.equal(other.embed([5, 6]), stub.embed([5, 6]))


def test_training_and_gate_are_those_of_the_receiver_that_does_not_scale(
    pair: tuple[Receiver, Receiver], tmp_path: Path
) -> None:
    (tmp_path / "gate_specs.yaml").write_text(SPEC)
    spec = load_spec(tmp_path / "gate_specs.yaml")
    found = []
    for name, receiver in zip(("stub", "scaled"), pair, strict=True):
        recipe = Recipe(stages=(Stage(3),), batch_size=4, validation_every=3)
        runs = [
            Training(receiver, Trip(), partial(kind, receiver, K), 0, recipe)
            for kind in (TokenPooler, StaticPrefix)
        ]
        for run in runs:
            run.run(lambda _: None)
        codec, static = (Channel(receiver, run.codec.eval(), K) for run in runs)
        subject = Subject(receiver, receiver.state_hash(), Trip(), codec, static)
        own = tmp_path / name
        with measured(spec, "eight", subject, own, own / "ledger", batch_size=8) as measurement:
            result = judge(spec, "eight", measurement.table, faults=[])
            found.append(
                [
                    [run.history for run in runs],
                    measurement.table,
                    [one.passed for one in measurement.checks],
                    [(one.verdict, one.table) for one in result.criteria],
                ]
            )
    assert found[0] == found[1]
