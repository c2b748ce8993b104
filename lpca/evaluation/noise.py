"""How far rounding moves the gaps that decide outcomes, and how far the precision explains it.

Noise is measured in each run, in its precision: episodes are read again in other batches and alone,
and their gaps compared. How much of it can be rounding is measured apart, on inputs that the run
under test has no part in: each layer's output is moved to a neighbouring number, which is what
rounding does, and what comes of it at the gap is seen. A fault that makes readings disagree thus
widens no tolerance.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from lpca.base.hashing import hash_data, named_rng
from lpca.evaluation.block import RunBlock, make_job, run_block
from lpca.evaluation.conditions import Setting, build_slots, slots_at
from lpca.evaluation.outcome import NEAR_TIE, Outcome
from lpca.evaluation.sampled import Sampling
from lpca.evaluation.tile import shaped_as, tile_of
from lpca.gatespec.model import Score
from lpca.receivers.forward import FREE
from lpca.receivers.model import Receiver, layer_stack

QUANTILE = 0.99
SAMPLE, SAMPLE_EXACT = 100, 24
"""Episodes per condition that are read again; in float32, whose noise is below `NEAR_TIE`, few.

Of outcomes touched up in one of ten episodes of one condition, 24 find one in 92 % of runs.
"""
PARTS_EXACT = 2
"""In float32 how many samples those are: the conditions of one share it, and so its prompts.

Conditions that a claim compares mostly stand in different ones, so that outcomes touched up in the
same episodes of both are looked for twice. In coarser types one sample, so large, finds them.
"""
ALONE = 4
"""So many of them are read alone, where shapes are free in coarser types; elsewhere one."""
SHARE = 3 / 4
"""Of the run's batch size that of the others' batches, where their shapes are free."""
PERTURBED, DRAWS = 16, 2
"""Episodes whose layers' outputs are moved, and how often."""
EXPLAINED = 3.0
"""Readings differ by at most so many times the 90 % quantile of what one move a layer makes.

Measured: by at most 0.7 times it (stub and SmolLM2 in bfloat16). A layer rounds about ten times.
"""


def deciding_gap(outcome: Outcome, score: Score) -> float:
    """In nats, how far one answer's outcome is from being another; infinite where not known.

    Of likelihoods the right option's lead; of what B says by how much it might be off.
    """
    gap = outcome.gap if score == "likelihood" else outcome.slack
    return math.inf if gap is None else gap


@dataclass(eq=False)
class Rereadings:
    """Episodes of a run read again, in batches of other rows and another size, and some alone.

    Which ones follows from the outcomes, so that no forged one can stand where it is not looked at.
    A later look keeps of what an earlier one read whatever it looks at too.

    Args:
        run_block: what computed the outcomes.
        score: which outcome counts.
        sampling: how answers are sampled; None where they are not.
        batch_size: that of the run.
    """

    run_block: RunBlock = run_block
    score: Score = "likelihood"
    sampling: Sampling | None = None
    batch_size: int = 32
    _kept: dict[tuple[str, int], Outcome] = field(default_factory=dict)

    def noise(
        self, setting: Setting, outcomes: Mapping[str, Sequence[Outcome]]
    ) -> dict[str, float]:
        """By condition the 99 % quantile of how far gaps moved, in nats, at least `NEAR_TIE`.

        Args:
            setting: what the slots were made from.
            outcomes: by condition those of its episodes, in their order.
        """
        found = {}
        for condition, again in self.read(setting, outcomes).items():
            moved = []
            for index, new in again.items():
                pairs = zip(outcomes[condition][index].readings, new.readings, strict=False)
                moved += [_moved(before, now, self.score) for before, now in pairs]
            found[condition] = max(NEAR_TIE, quantile(moved, QUANTILE))
        return found

    def read(
        self, setting: Setting, outcomes: Mapping[str, Sequence[Outcome]]
    ) -> dict[str, dict[int, Outcome]]:
        """By condition some of its episodes' outcomes read again, by index; arguments of `noise`.

        They are read once, however often they are asked for.
        """
        is_exact, conditions = setting.receiver.dtype == torch.float32, list(outcomes)
        parts = min(PARTS_EXACT if is_exact else 1, len(conditions))
        size, content = SAMPLE_EXACT if is_exact else SAMPLE, content_of(outcomes)
        every = range(len(setting.episodes))
        found: dict[str, dict[int, Outcome]] = {}
        for number in range(parts):
            own = conditions[number::parts]
            rows = sample_of(content, f"again {number}", size, every)
            self._read(setting, own, rows)
            found |= {name: {i: self._kept[name, i] for i in rows} for name in own}
        return {name: found[name] for name in conditions}

    def _read(self, setting: Setting, conditions: Sequence[str], rows: Sequence[int]) -> None:
        episodes, tile = setting.episodes.episodes, tile_of(setting, self.batch_size)
        # a required gate's look has fewer conditions than the gate's own
        new = [i for i in rows if any((c, i) not in self._kept for c in conditions)]
        # one alone takes up a whole tile too
        is_free = tile == FREE and setting.receiver.dtype != torch.float32
        alone = min(ALONE if is_free else 1, len(new) // ALONE)
        parts = [[row] for row in new[:alone]]
        size = tile.rows or max(1, round(SHARE * self.batch_size))
        parts += [new[start : start + size] for start in range(alone, len(new), size)]
        slots = {
            name: dict(zip(new, slots_at(name, setting, new), strict=True)) for name in conditions
        }
        for part in parts:
            batch = [episodes[i] for i in part]
            jobs = [
                make_job(setting.receiver, name, batch, [slots[name][i] for i in part])
                for name in conditions
            ]
            jobs = [job.tiled(shaped_as(tile, job.condition)) for job in jobs]
            if self.sampling is not None:
                jobs = [job.sampled(self.sampling) for job in jobs]
            for job, read in self.run_block(setting.receiver, jobs, len(part)):
                self._kept.update(
                    {(job.condition, i): one for i, one in zip(part, read, strict=True)}
                )


def content_of(outcomes: Mapping[str, Sequence[Outcome]]) -> str:
    """A hash of what came of every episode under every condition."""
    return hash_data(
        {
            name: [
                [one.seed, one.named, _best(one.scores), *(other.named for other in one.others)]
                for one in records
            ]
            for name, records in outcomes.items()
        }
    )


def sample_of(content: str, purpose: str, size: int, among: Sequence[int]) -> list[int]:
    """A sample of indices, in order, that follows from such a hash and from what it is for."""
    return sorted(named_rng("leaks", purpose, content).sample(among, min(size, len(among))))


def _best(scores: Sequence[float]) -> int | None:
    return scores.index(max(scores)) if scores else None


def _moved(before: Outcome, now: Outcome, score: Score) -> float:
    """By how much an answer's gap is another; what B no longer says lies on the other side."""
    gaps = deciding_gap(before, score), deciding_gap(now, score)
    if score != "likelihood" and before.said_ids != now.said_ids:
        gaps = gaps[0], -gaps[1]
    moved = abs(gaps[0] - gaps[1])
    if gaps[0] == gaps[1]:
        return 0.0
    return math.inf if math.isnan(moved) else moved


def quantile(values: Sequence[float], level: float) -> float:
    """The order statistic that a new value exceeds with probability 1 - level at most, or the last.

    Example:
        >>> quantile([0.1, 0.3, 0.2], 0.5)
        0.2
    """
    place = math.ceil(level * (len(values) + 1)) - 1
    return sorted(values)[min(place, len(values) - 1)]


def explained(setting: Setting) -> float:
    """In nats, by how much rounding may make two readings of a gap differ, and more.

    Reads some episodes with their messages as text, with every layer's output as it is and moved
    by half a unit in the last place, up or down by a named seed. `EXPLAINED` times the 90 %
    quantile of what that does to the gap. No latents and no channel have a part in it.
    """
    receiver = setting.receiver
    part = setting.episodes.part(0, min(PERTURBED, len(setting.episodes)))
    text = Setting(receiver, None, part)
    episodes, slots = part.episodes, build_slots("p1", text)
    job = make_job(receiver, "p1", episodes, slots)

    def gaps() -> list[float]:
        [(_, records)] = run_block(receiver, [job], len(episodes))
        return [record.gap for record in records]

    plain, moved = gaps(), []
    for draw in range(DRAWS):
        with _layers_moved(receiver, named_rng("half a unit", draw).getrandbits(60)):
            moved += [abs(a - b) for a, b in zip(plain, gaps(), strict=True)]
    return EXPLAINED * quantile(moved, 0.9)


@contextmanager
def _layers_moved(receiver: Receiver, seed: int) -> Iterator[None]:
    """While open, each layer's output is moved by half a unit in the last place."""
    half = torch.finfo(receiver.dtype).eps / 2
    rng = torch.Generator().manual_seed(seed)

    def moved(_module: torch.nn.Module, _args: Any, output: Any) -> Any:
        states: Tensor = output if isinstance(output, Tensor) else output[0]
        signs = torch.randint(0, 2, states.shape, generator=rng).to(states.device) * 2 - 1
        rounded = (states.float() * (1 + half * signs)).to(states.dtype)
        return rounded if isinstance(output, Tensor) else (rounded, *output[1:])

    handles = [layer.register_forward_hook(moved) for layer in layer_stack(receiver)]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
