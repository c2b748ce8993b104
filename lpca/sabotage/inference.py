"""Specs that would decide otherwise than the outcomes allow; the checker refuses them."""

from __future__ import annotations

from dataclasses import replace

from lpca.sabotage.base import sabotage
from lpca.sabotage.faulty_run import Stage
from lpca.stats import Approximate, BoundsComparison, Ratio


@sabotage("building", "null is declared to be decoded", "missing-control", "REFUSED")
def null_decoded_in_spec(stage: Stage) -> None:
    """`controls: {null: decode_zero}`."""
    stage.change_gate(controls={"null": "decode_zero"})


@sabotage("building", "paired outcomes are read as separate samples", "unpaired", "REFUSED")
def unpaired_method(stage: Stage) -> None:
    """Fisher's exact test on the two rates."""
    stage.change_criterion("normal_above_p0", method="fisher")


@sabotage("building", "the bounds of two intervals are compared", "overlap", "REFUSED")
def bounds_compared(stage: Stage) -> None:
    """`low(normal) > high(p0)`."""
    stage.change_criterion("normal_above_p0", claim=BoundsComparison("normal", "p0", ">"))


@sabotage(
    "building",
    "no significant difference is taken for equality",
    "not-significant-as-equal",
    "REFUSED",
)
def equal_without_margin(stage: Stage) -> None:
    """`embed ~= p1`."""
    stage.change_criterion("plumbing", claim=Approximate("embed", "p1"))


@sabotage(
    "building",
    "retention of text's success is claimed, which guessing meets half",
    "inert-retention",
    "REFUSED",
)
def inert_retention(stage: Stage) -> None:
    """`normal / p1 > 0.5` where guessing gives a quarter."""
    claim = Ratio("normal", "p1", ">", 0.5)
    stage.change_criterion("normal_above_p0", claim=claim, text="normal / p1 > 0.5")


@sabotage("building", "training and test share a seed", "seed-overlap", "REFUSED")
def seeds_shared(stage: Stage) -> None:
    """`train_seed` is the test's."""
    seed = stage.spec.task.seed
    task = replace(stage.spec.task, other_seeds={"train_seed": ((seed, seed),)})
    stage.spec = replace(stage.spec, task=task)


INFERENCE = (
    null_decoded_in_spec,
    unpaired_method,
    bounds_compared,
    equal_without_margin,
    inert_retention,
    seeds_shared,
)
