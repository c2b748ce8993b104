"""What only a memory can see: the best of several, and looks until one pleases."""

from __future__ import annotations

from functools import partial

import torch

from lpca.gatespec.model import Sweep
from lpca.sabotage.base import sabotage
from lpca.sabotage.faulty_run import Stage
from lpca.sabotage.parts import Wrapped, noise
from lpca.stats import Difference, Verdict

MARGINS = (0.8, 0.78, 0.75, 0.73)
CHECKPOINTS, SCALES, SIZES = 10, (0.5, 0.75, 1.25, 1.5), (120, 140, 160, 180)


@sabotage("field", "the best of ten checkpoints is reported", "checkpoints_accounted")
def best_of_ten(stage: Stage) -> None:
    """Nine others were judged on the same test episodes before."""
    _judge_others(stage, CHECKPOINTS - 1, 0.1)


@sabotage("field", "the best of a scale sweep is reported", "checkpoints_accounted")
def best_scale(stage: Stage) -> None:
    """The same latents were judged at other scales before."""
    for scale in SCALES:
        stage.channel_codec = Wrapped(stage.codec.codec, partial(torch.mul, scale))
        stage.remember()
    stage.channel_codec = None


@sabotage(
    "building", "the best of a sweep is declared, without confirmation", "winners-curse", "REFUSED"
)
def sweep_in_spec(stage: Stage) -> None:
    """`best_of:` with no fresh seed."""
    stage.change_gate(best_of=Sweep("scale", ("0.5", "1.0")))


@sabotage("field", "episodes are added until the verdict turns", "looks_accounted")
def until_it_turns(stage: Stage) -> None:
    """More and more of the same seed's episodes, each time judged as if for the first."""
    for n in SIZES:
        stage.change_gate(n=n)
        stage.remember(Verdict.INCONCLUSIVE)
    stage.change_gate(n=None)


@sabotage("building", "looks are declared, and no stopping rule", "optional-stopping", "REFUSED")
def looks_in_spec(stage: Stage) -> None:
    """`looks:` alone."""
    stage.change_gate(looks=(50, 100, 150, 200))


@sabotage("building", "margins are loosened until the gate passes", "looks_accounted")
def margins_loosened(stage: Stage) -> None:
    """The first ones were out of reach; all are judged on the same outcomes."""
    stage.change_gate(expect={**stage.gate.expect, "null": 0.01})
    for margin in (*MARGINS, 0.0):
        claim = Difference("normal", "null", ">", margin)
        stage.change_criterion("normal_above_null", claim=claim, text=f"normal - null > {margin}")
        if margin:
            stage.remember()


@sabotage("building", "the ledger was edited", "ledger_intact")
def ledger_edited(stage: Stage) -> None:
    """The look that displeased is taken out of the middle."""
    _judge_others(stage, 3, 1.0)
    [path] = stage.ledger.glob("*.jsonl")
    first, _, *rest = path.read_text(encoding="utf-8").splitlines(keepends=True)
    path.write_text("".join([first, *rest]), encoding="utf-8")


def _judge_others(stage: Stage, count: int, size: float) -> None:
    """Judge other codecs: this one's with noise of a size, in units of the latents' own."""
    shape = (stage.codec.identity.k, stage.receiver.d_model)
    unit = size * stage.receiver.mean_embedding_norm / stage.receiver.d_model**0.5
    for seed in range(count):
        other = noise(shape, seed) * unit
        stage.channel_codec = Wrapped(stage.codec.codec, partial(torch.add, other))
        stage.remember()
    stage.channel_codec = None


HISTORY = (
    best_of_ten,
    best_scale,
    sweep_in_spec,
    until_it_turns,
    looks_in_spec,
    margins_loosened,
    ledger_edited,
)
