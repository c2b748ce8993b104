"""Outcomes that are read otherwise than they allow: too often, picked from several, or by a spec.

What was read before only the ledger can tell; specs that would decide wrongly the checker refuses.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import torch
from torch import Tensor

from lpca.gatespec.model import Sweep
from lpca.sabotage.catalogue import sabotage
from lpca.sabotage.faulty_run import FaultyRun
from lpca.sabotage.spoilt import embedding_noise, spoil_codec
from lpca.stats.claims import Approximate, BoundsComparison, Difference, Ratio
from lpca.stats.verdicts import Verdict

MARGINS = (0.8, 0.78, 0.75, 0.73)
CHECKPOINTS, SCALES, SIZES = 10, (0.5, 0.75, 1.25, 1.5), (120, 140, 160, 180)


@sabotage("field", "the best of ten checkpoints is reported", "checkpoints_accounted")
def best_of_ten(run: FaultyRun) -> None:
    """Nine others were judged on the same test episodes before."""
    _judge_others(run, CHECKPOINTS - 1, 0.1)


@sabotage("field", "the best of a scale sweep is reported", "checkpoints_accounted")
def best_scale(run: FaultyRun) -> None:
    """The same latents were judged at other scales before."""
    for scale in SCALES:
        _judge_before(run, partial(torch.mul, scale))


@sabotage(
    "building", "the best of a sweep is declared, without confirmation", "winners-curse", "REFUSED"
)
def sweep_in_spec(run: FaultyRun) -> None:
    """`best_of:` with no fresh seed."""
    run.change_gate(best_of=Sweep("scale", ("0.5", "1.0")))


@sabotage("field", "episodes are added until the verdict turns", "looks_accounted")
def until_it_turns(run: FaultyRun) -> None:
    """More and more of the same seed's episodes, each time judged as if for the first."""
    for n in SIZES:
        run.change_gate(n=n)
        run.remember(Verdict.INCONCLUSIVE)
    run.change_gate(n=None)


@sabotage("building", "looks are declared, and no stopping rule", "optional-stopping", "REFUSED")
def looks_in_spec(run: FaultyRun) -> None:
    """`looks:` alone."""
    run.change_gate(looks=(50, 100, 150, 200))


@sabotage("building", "margins are loosened until the gate passes", "looks_accounted")
def margins_loosened(run: FaultyRun) -> None:
    """The first ones were out of reach; all are judged on the same outcomes."""
    run.change_gate(expect={**run.gate.expect, "null": 0.01})
    for margin in (*MARGINS, 0.0):
        claim = Difference("normal", "null", ">", margin)
        run.change_criterion("normal_above_null", claim=claim, text=f"normal - null > {margin}")
        if margin:
            run.remember()


@sabotage("building", "the ledger was edited", "ledger_intact")
def ledger_edited(run: FaultyRun) -> None:
    """The look that displeased is taken out of the middle."""
    _judge_others(run, 3, 1.0)
    [path] = run.ledger.glob("*.jsonl")
    first, _, *rest = path.read_text(encoding="utf-8").splitlines(keepends=True)
    path.write_text("".join([first, *rest]), encoding="utf-8")


def _judge_others(run: FaultyRun, count: int, size: float) -> None:
    """Judge other codecs: this one's with noise of a size, in units of the latents' own."""
    for seed in range(count):
        other = embedding_noise(run.receiver, (run.k, run.receiver.d_model), seed)
        _judge_before(run, partial(torch.add, size * other))


def _judge_before(run: FaultyRun, change: Callable[[Tensor], Tensor]) -> None:
    """Keep a reading of the codec with its prefixes changed."""
    spoil_codec(run, change)
    run.remember()
    run.channel_codec = None


@sabotage("building", "null is declared to be decoded", "missing-control", "REFUSED")
def null_decoded_in_spec(run: FaultyRun) -> None:
    """`controls: {null: decode_zero}`."""
    run.change_gate(controls={"null": "decode_zero"})


@sabotage("building", "paired outcomes are read as separate samples", "unpaired", "REFUSED")
def unpaired_method(run: FaultyRun) -> None:
    """Fisher's exact test on the two rates."""
    run.change_criterion("normal_above_p0", method="fisher")


@sabotage("building", "the bounds of two intervals are compared", "overlap", "REFUSED")
def bounds_compared(run: FaultyRun) -> None:
    """`low(normal) > high(p0)`."""
    run.change_criterion("normal_above_p0", claim=BoundsComparison("normal", "p0", ">"))


@sabotage(
    "building",
    "no significant difference is taken for equality",
    "not-significant-as-equal",
    "REFUSED",
)
def equal_without_margin(run: FaultyRun) -> None:
    """`embed ~= p1`."""
    run.change_criterion("plumbing", claim=Approximate("embed", "p1"))


@sabotage(
    "building",
    "retention of text's success is claimed, which guessing meets half",
    "inert-retention",
    "REFUSED",
)
def inert_retention(run: FaultyRun) -> None:
    """`normal / p1 > 0.5` where guessing gives a quarter."""
    claim = Ratio("normal", "p1", ">", 0.5)
    run.change_criterion("normal_above_p0", claim=claim, text="normal / p1 > 0.5")


@sabotage("building", "training and test share a seed", "seed-overlap", "REFUSED")
def seeds_shared(run: FaultyRun) -> None:
    """`train_seed` is the test's."""
    seed = run.spec.task.seed
    task = replace(run.spec.task, other_seeds={"train_seed": ((seed, seed),)})
    run.spec = replace(run.spec, task=task)
