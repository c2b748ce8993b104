"""Outcomes that are not what the receiver does with the codec's latents."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import fields, replace
from functools import partial
from typing import Any

import torch
from torch import Tensor

from lpca.base.hashing import hash_data
from lpca.codec.store import Request
from lpca.evaluation.block import Job, read_outcomes, run_block
from lpca.evaluation.outcome import Outcome, ReceivedPrompt, named_option
from lpca.receivers.forward import Reading, forward, part_of_cache
from lpca.receivers.model import Receiver
from lpca.sabotage.base import sabotage
from lpca.sabotage.faulty_run import Stage
from lpca.sabotage.parts import Wrapped, noise, read_by, spoil_records
from lpca.tasks import Episode, Trip


@sabotage("field", "the receiver was tuned while the codec was trained", "receiver_frozen")
def receiver_tuned(stage: Stage) -> None:
    """One layer moved a little."""
    stage.own_receiver()
    weight = list(stage.receiver.model.parameters())[-1]
    weight.data.mul_(1.001)


@sabotage("building", "the receiver is left in training mode", "receiver_frozen")
def receiver_in_training(stage: Stage) -> None:
    """Dropout, where the model has any, then makes outcomes random."""
    stage.own_receiver()
    stage.receiver.model.train()


@sabotage("field", "the checkpoint is another receiver's", "checkpoint_fits", "REFUSED")
def checkpoint_of_another_receiver(stage: Stage) -> None:
    """The weights under test are not those the codec was trained through."""
    stage.receiver = replace(stage.receiver, weights_hash=hash_data("another receiver"))
    stage.checkpoint = Request(stage.codec.identity.k, checkpoint=_folder(stage))


@sabotage("field", "the checkpoint is of another k", "checkpoint_fits", "REFUSED")
def checkpoint_of_another_k(stage: Stage) -> None:
    """Twice as many latents are asked for."""
    stage.checkpoint = Request(2 * stage.codec.identity.k, checkpoint=_folder(stage))


@sabotage("field", "the checkpoint is of another task", "checkpoint_fits", "REFUSED")
def checkpoint_of_another_task(stage: Stage) -> None:
    """The same messages, with another number of options."""
    stage.task = Trip(5)
    stage.checkpoint = Request(stage.codec.identity.k, checkpoint=_folder(stage))


def _folder(stage: Stage) -> Any:
    return stage.codec_cache / "codecs" / stage.codec.identity.hash()


@sabotage("field", "teacher forcing is reported as generation", "slow_path_agrees")
def teacher_forcing(stage: Stage) -> None:
    """Each token of the right answer is asked for with the ones before it given."""

    def forced(
        read: Reading, episodes: Sequence[Episode], given: Sequence[ReceivedPrompt]
    ) -> list[Outcome]:
        answers = [read.receiver.option_ids(e.right) for e in episodes]
        records = []
        rows = zip(
            read_outcomes(read, episodes, given), episodes, _forced(read, answers), strict=True
        )
        for record, episode, ids in rows:
            said = read.receiver.text(ids)
            named = named_option(said, episode.options)[0]
            records.append(replace(record, said_ids=tuple(ids), said=said, named=named))
        return records

    stage.exchange_evaluation(run_block=partial(run_block, read=forced))


@torch.no_grad()
def _forced(read: Reading, answers: Sequence[Sequence[int]]) -> list[list[int]]:
    width, receiver = max(map(len, answers)), read.receiver
    rows = [[*ids, *[receiver.pad_id] * (width - len(ids))] for ids in answers]
    visible = torch.cat([read.visible, read.visible.new_ones((len(rows), width))], dim=1)
    step = {"input_ids": torch.tensor(rows, device=receiver.device)}
    cache = part_of_cache(read.cache, list(range(len(rows))), read.visible.shape[1])
    later = forward(receiver, cache, visible, step, width)
    best = torch.cat([read.logits[:, None], later[:, :-1]], dim=1).argmax(-1)
    return [best[i, : len(ids)].tolist() for i, ids in enumerate(answers)]


@sabotage("building", "options are scored by their first token alone", "slow_path_agrees")
def first_token_scores(stage: Stage) -> None:
    """Two options that begin alike are then told apart by nothing."""

    class FirstToken(Reading):
        def option_scores(self, options: Sequence[Sequence[Sequence[int]]]) -> list[list[float]]:
            return super().option_scores([[ids[:1] for ids in row] for row in options])

    read_by(stage, FirstToken)


@sabotage("field", "rounding noise makes outcomes depend on the batch", "slow_path_agrees")
def batch_noise(stage: Stage) -> None:
    """Scores move by a hundredth of a nat with a row's place in the batch."""

    class Noisy(Reading):
        def option_scores(self, options: Sequence[Sequence[Sequence[int]]]) -> list[list[float]]:
            return [
                [score + 0.01 * (i + 1) * (1 if j % 2 else -1) for j, score in enumerate(row)]
                for i, row in enumerate(super().option_scores(options))
            ]

    read_by(stage, Noisy)


@sabotage("field", "positions are counted from the padding's side", "slow_path_agrees")
def padding_counted(stage: Stage) -> None:
    """Rows shorter than the longest of their batch have their positions stretched."""

    class Counting(Receiver):
        def positions(self, visible: Tensor) -> Tensor:
            places = torch.arange(visible.shape[1], device=visible.device).expand_as(visible)
            return torch.as_tensor(places * (2 + (~visible).sum(1, keepdim=True)) // 2)

    honest = stage.receiver
    stage.receiver = Counting(**{one.name: getattr(honest, one.name) for one in fields(honest)})
    stage.forget_outcomes()


@sabotage(
    "field",
    "outcomes are cached by name, so that a changed codec reuses old ones",
    "outcomes_traced",
)
def cached_by_name(stage: Stage) -> None:
    """An earlier codec filled the cache under the condition's name and the episodes' seeds."""
    honest = stage.steps.make_job

    def named(receiver: Receiver, condition: str, episodes: Any, slots: Any) -> Job:
        job = honest(receiver, condition, episodes, slots)
        return replace(job, key=hash_data([condition, [e.seed for e in episodes]]))

    stage.exchange_evaluation(make_job=named)
    sound = stage.channel_codec
    shape = (stage.codec.identity.k, stage.receiver.d_model)
    stage.channel_codec = Wrapped(stage.codec.codec, lambda p: p + noise(shape, 1))
    ledger, stage.ledger = stage.ledger, stage.cache / "ledger"
    stage.decide()
    stage.channel_codec, stage.ledger = sound, ledger


@sabotage("building", "the right answer is taken to be what B chose", "outcomes_traced")
def answers_follow_choices(stage: Stage) -> None:
    """A join on the wrong column."""

    def joined(record: Outcome) -> Outcome:
        return replace(record, answer=record.scores.index(max(record.scores)))

    spoil_records(stage, joined)


@sabotage("building", "a few failures are turned into successes", "outcomes_traced")
def failures_touched_up(stage: Stage) -> None:
    """Every other failure under normal: as few as one in ten are found."""

    def turned(record: Outcome) -> Outcome:
        if record.likelihood_success or record.seed % 2:
            return record
        scores = list(record.scores)
        scores[record.answer] = max(scores) + 0.5
        return replace(record, scores=tuple(scores))

    spoil_records(stage, turned, ["normal", "shuffle", "null", "random"])


@sabotage("building", "what a message costs is not reported", "numbers_reported")
def cost_unreported(stage: Stage) -> None:
    """Where latents are injected, evidence has no bits."""

    def unreported(condition: str, told: dict[str, Any]) -> dict[str, Any]:
        return {name: one for name, one in told.items() if name != "bits" or condition == "p1"}

    spoil_numbers(stage, unreported)


@sabotage("building", "latents are reported as fewer bits than they are", "numbers_reported")
def cost_understated(stage: Stage) -> None:
    """Each number counts as one bit, as if somebody had quantised it."""

    def understated(condition: str, told: dict[str, Any]) -> dict[str, Any]:
        return {**told, "bits": told["bits"] / 32 if condition == "normal" else told["bits"]}

    spoil_numbers(stage, understated)


def spoil_numbers(stage: Stage, spoil: Callable[[str, dict[str, Any]], dict[str, Any]]) -> None:
    """Change what evidence reports of a condition."""
    honest = stage.steps.condition_numbers

    def spoilt(condition: str, *rest: Any) -> dict[str, Any]:
        return spoil(condition, honest(condition, *rest))

    stage.exchange(condition_numbers=spoilt)


CALLS = (
    receiver_tuned,
    receiver_in_training,
    checkpoint_of_another_receiver,
    checkpoint_of_another_k,
    checkpoint_of_another_task,
    teacher_forcing,
    first_token_scores,
    batch_noise,
    padding_counted,
    cached_by_name,
    answers_follow_choices,
    failures_touched_up,
    cost_unreported,
    cost_understated,
)
