"""What several sabotages spoil in the same way: episodes, prompts, codecs, slots, records."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import fields, replace
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from lpca.codec.base import Codec
from lpca.evaluation.block import Computed, Job, ReadOutcomes, read_outcomes, run_block
from lpca.evaluation.conditions import Setting, SlotMaker, build_slots
from lpca.evaluation.evaluate import Evaluated
from lpca.evaluation.outcome import Outcome, ReceivedPrompt
from lpca.gatespec.model import Answers
from lpca.receivers.forward import Reading, Slot
from lpca.receivers.model import Receiver
from lpca.sabotage.faulty_run import FaultyRun
from lpca.tasks import Episode, EpisodeSet, Split
from lpca.tasks.kinds.trip import Trip

EVERY = 10
"""One episode in so many is spoilt where only some are."""


class SpoiltTrip(Trip):
    """The task whose test episodes are changed one by one, and then as a set."""

    def __init__(
        self,
        options: int,
        change: Callable[[Episode, int], Episode],
        whole: Callable[[EpisodeSet], EpisodeSet],
    ) -> None:
        super().__init__(options)
        self.change, self.whole = change, whole

    def evaluation_set(self, split: Split, answers: Answers, n: int, seed: int) -> EpisodeSet:
        """Return the task's own episodes, changed."""
        sound = super().evaluation_set(split, answers, n, seed)
        changed = tuple(self.change(episode, i) for i, episode in enumerate(sound))
        return self.whole(replace(sound, episodes=changed))


def spoil_episodes(
    run: FaultyRun,
    change: Callable[[Episode, int], Episode] = lambda episode, index: episode,
    whole: Callable[[EpisodeSet], EpisodeSet] = lambda episodes: episodes,
) -> None:
    """Let the task itself have other test episodes, so that they are alike under all conditions.

    Args:
        run: the run to be spoilt.
        change: makes an episode of a sound one and its place.
        whole: changes all of them together, after that.
    """
    assert isinstance(run.task, Trip)
    run.task = SpoiltTrip(run.task.options, change, whole)


def tell_in_prompt(run: FaultyRun, text: Callable[[Episode], str]) -> None:
    """Let the task put a text of each episode's right behind the slot."""
    spoil_episodes(run, lambda e, _: replace(e, after=f" {text(e)}{e.after}"))


def reordered(episode: Episode, options: Sequence[str]) -> Episode:
    """Return the episode with its options in another order."""
    before = episode.before.replace(", ".join(episode.options), ", ".join(options))
    place = list(options).index(episode.right)
    return replace(episode, options=tuple(options), before=before, answer=place)


def spoil_prompts(
    run: FaultyRun, change: Callable[[Episode], Episode], conditions: Sequence[str] = ()
) -> None:
    """Let the prompt builder change what B reads, under some conditions or all."""
    honest = run.steps.run_block

    def building(receiver: Receiver, jobs: Sequence[Job], batch_size: int) -> Computed:
        spoilt = [job for job in jobs if not conditions or job.condition in conditions]
        if sound := [job for job in jobs if job not in spoilt]:
            yield from honest(receiver, sound, batch_size)
        if spoilt:
            changed = [replace(j, episodes=tuple(map(change, j.episodes))) for j in spoilt]
            found = honest(receiver, changed, batch_size)
            yield from ((job, records) for job, (_, records) in zip(spoilt, found, strict=True))

    run.exchange_evaluation(run_block=building)


def spoil_records(
    run: FaultyRun, change: Callable[[Outcome], Outcome], conditions: Sequence[str] = ("normal",)
) -> None:
    """Change records after they were measured."""
    honest = run.steps.evaluate

    def changed(*arguments: Any) -> Evaluated:
        found = honest(*arguments)
        outcomes = {
            name: tuple(map(change, rows)) if name in conditions else rows
            for name, rows in found.outcomes.items()
        }
        return replace(found, outcomes=outcomes)

    run.exchange(evaluate=changed)


def read_by(run: FaultyRun, kind: type[Reading]) -> None:
    """Let what was read be scored and gone on from in another way."""

    def otherwise(
        reading: Reading, episodes: Sequence[Episode], given: Sequence[ReceivedPrompt]
    ) -> list[Outcome]:
        parts = {field.name: getattr(reading, field.name) for field in fields(reading)}
        return read_outcomes(kind(**parts), episodes, given)

    record_by(run, otherwise)


def record_by(run: FaultyRun, make_records: ReadOutcomes) -> None:
    """Let records be made in another way of what was read."""
    run.exchange_evaluation(run_block=partial(run_block, read=make_records))


def spoil_codec(run: FaultyRun, change: Callable[[Tensor], Tensor]) -> None:
    """Let the codec's prefixes [batch, k, d_model] be changed on their way."""
    run.channel_codec = Wrapped(run.codec.codec, change)


class Wrapped(nn.Module):
    """A codec whose prefix is changed on its way; it may declare `bits`."""

    def __init__(self, codec: Codec, change: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.codec, self.change = codec, change
        self.bits: float | None = None

    def encode(self, messages: Sequence[str]) -> Tensor:
        """As the codec does."""
        return self.codec.encode(messages)

    def decode(self, latents: Tensor) -> Tensor:
        """Changed."""
        return self.change(self.codec.decode(latents))


def also_under(run: FaultyRun, condition: str) -> None:
    """Let the gate's episodes be run under one condition more, to be spoilt."""
    run.change_gate(conditions=(*run.gate.conditions, condition))
    if run.conditions is not None:
        run.conditions = sorted({*run.conditions, condition})


def slots_of(condition: str, change: Callable[[Tensor], Tensor] = lambda v: v) -> SlotMaker:
    """Return what makes a sound condition's slots of vectors, the vectors changed."""

    def make(setting: Setting) -> list[Slot]:
        return [Slot(vectors=change(v)) for v in sound_vectors(condition, setting)]

    return make


def sound_vectors(condition: str, setting: Setting) -> list[Tensor]:
    """Return the vectors that a condition injects where nothing was exchanged."""
    slots = build_slots(condition, replace(setting, exchanged={}))
    return [slot.vectors for slot in slots if slot.vectors is not None]


def same_slots(make: Callable[[Setting], Tensor]) -> SlotMaker:
    """Return what gives every episode the same vectors."""

    def made(setting: Setting) -> list[Slot]:
        return [Slot(vectors=make(setting))] * len(setting.episodes)

    return made


def noise(shape: Sequence[int], seed: int) -> Tensor:
    """Seeded standard normal numbers."""
    return torch.randn(tuple(shape), generator=torch.Generator().manual_seed(seed))


def embedding_noise(receiver: Receiver, shape: Sequence[int], seed: int) -> Tensor:
    """The same [..., d_model], its vectors about as long as the receiver's embeddings."""
    vectors = noise(shape, seed) * receiver.mean_embedding_norm / receiver.d_model**0.5
    return torch.as_tensor(vectors)
