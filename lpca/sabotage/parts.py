"""Spoilt parts that several sabotages are made of."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from lpca.codec.base import Codec
from lpca.evaluation.block import Computed, Job, read_outcomes, run_block
from lpca.evaluation.conditions import Setting, build_slots
from lpca.evaluation.evaluate import Evaluated
from lpca.evaluation.outcome import Outcome, ReceivedPrompt
from lpca.gatespec.model import Answers
from lpca.receivers.forward import Reading, Slot
from lpca.receivers.model import Receiver
from lpca.sabotage.faulty_run import Stage
from lpca.tasks import Episode, EpisodeSet, Split, Task

Change = Callable[[Episode, int], Episode]


@dataclass(frozen=True)
class SpoiltTask:
    """A task whose test episodes are changed one by one, and then as a set."""

    task: Task
    change: Change = lambda episode, index: episode
    whole: Callable[[EpisodeSet], EpisodeSet] = lambda episodes: episodes
    name = "trip"

    @property
    def writes_prompts(self) -> bool:
        """The task's own."""
        return self.task.writes_prompts

    def evaluation_set(self, split: Split, answers: Answers, n: int, seed: int) -> EpisodeSet:
        """The task's own, changed."""
        sound = self.task.evaluation_set(split, answers, n, seed)
        changed = tuple(self.change(episode, i) for i, episode in enumerate(sound))
        return self.whole(replace(sound, episodes=changed))

    def training_batch(self, step: int, size: int, seed: int) -> Sequence[Episode]:
        """The task's own."""
        return self.task.training_batch(step, size, seed)

    def training_hash(self) -> str:
        """The task's own."""
        return self.task.training_hash()

    def contents(self) -> Mapping[str, str]:
        """The task's own."""
        return self.task.contents()

    def outside(self, episode: Episode) -> tuple[str, ...]:
        """The task's own."""
        return self.task.outside(episode)


def told(text: Callable[[Episode], str]) -> Change:
    """Put a text right behind the slot."""

    def change(episode: Episode, index: int) -> Episode:
        return replace(episode, after=f" {text(episode)}{episode.after}")

    return change


def reordered(episode: Episode, options: Sequence[str]) -> Episode:
    """The episode with its options in another order."""
    before = episode.before.replace(", ".join(episode.options), ", ".join(options))
    place = list(options).index(episode.right)
    return replace(episode, options=tuple(options), before=before, answer=place)


class Wrapped(nn.Module):
    """A codec whose prefix is changed on its way."""

    def __init__(self, codec: Codec, spoil: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.codec, self.spoil = codec, spoil

    def encode(self, messages: Sequence[str]) -> Tensor:
        """As the codec does."""
        return self.codec.encode(messages)

    def decode(self, latents: Tensor) -> Tensor:
        """Changed."""
        return self.spoil(self.codec.decode(latents))


class Dropped(nn.Module):
    """One constant prefix, with dropout while in training mode."""

    def __init__(self, prefix: Tensor, rate: float) -> None:
        super().__init__()
        self.prefix, self.dropout = prefix, nn.Dropout(rate)

    def encode(self, messages: Sequence[str]) -> Tensor:
        """The prefix [batch, k, d_model], dropped out for each message apart."""
        return torch.as_tensor(self.dropout(self.prefix.expand(len(messages), *self.prefix.shape)))

    def decode(self, latents: Tensor) -> Tensor:
        """As it is."""
        return latents


class Lookup(nn.Module):
    """A codec that knows messages by heart: each one's label picks one of a few prefixes."""

    def __init__(self, labels: dict[str, int], prefixes: Tensor) -> None:
        super().__init__()
        self.labels, self.prefixes = labels, nn.Parameter(prefixes)

    def encode(self, messages: Sequence[str]) -> Tensor:
        """The prefixes [batch, k, d_model] of the messages' labels; the first where unknown."""
        return self.prefixes[[self.labels.get(message, 0) for message in messages]]

    def decode(self, latents: Tensor) -> Tensor:
        """As they are."""
        return latents


def sound_slots(condition: str, setting: Setting) -> Sequence[Slot]:
    """What a condition gives B where nothing was exchanged."""
    return build_slots(condition, replace(setting, exchanged={}))


def spoil_prompts(
    stage: Stage, change: Callable[[Episode], Episode], conditions: Sequence[str] = ()
) -> None:
    """Let the prompt builder change what B reads, under some conditions or all."""
    honest = stage.steps.run_block

    def building(receiver: Receiver, jobs: Sequence[Job], batch_size: int) -> Computed:
        spoilt = [job for job in jobs if not conditions or job.condition in conditions]
        if sound := [job for job in jobs if job not in spoilt]:
            yield from honest(receiver, sound, batch_size)
        if spoilt:
            changed = [replace(j, episodes=tuple(map(change, j.episodes))) for j in spoilt]
            found = honest(receiver, changed, batch_size)
            yield from ((job, records) for job, (_, records) in zip(spoilt, found, strict=True))

    stage.exchange_evaluation(run_block=building)


def spoil_records(
    stage: Stage, change: Callable[[Outcome], Outcome], conditions: Sequence[str] = ("normal",)
) -> None:
    """Change records after they were measured."""
    honest = stage.steps.evaluate

    def changed(*arguments: Any) -> Evaluated:
        found = honest(*arguments)
        records = {
            name: tuple(map(change, rows)) if name in conditions else rows
            for name, rows in found.outcomes.items()
        }
        return replace(found, outcomes=records)

    stage.exchange(evaluate=changed)


def read_by(stage: Stage, kind: type[Reading]) -> None:
    """Let what was read be scored and gone on from in another way."""

    def otherwise(
        reading: Reading, episodes: Sequence[Episode], given: Sequence[ReceivedPrompt]
    ) -> list[Outcome]:
        parts = {one.name: getattr(reading, one.name) for one in fields(reading)}
        return read_outcomes(kind(**parts), episodes, given)

    stage.exchange_evaluation(run_block=partial(run_block, read=otherwise))


def noise(shape: Sequence[int], seed: int) -> Tensor:
    """Seeded standard normal numbers."""
    return torch.randn(tuple(shape), generator=torch.Generator().manual_seed(seed))
