"""Outcomes that are not what the receiver does with the codec's latents."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from lpca.base.hashing import hash_data
from lpca.codec.store import Request
from lpca.evaluation.block import Job, read_outcomes
from lpca.evaluation.outcome import Outcome, ReceivedPrompt, named_option
from lpca.evidence.model import ConditionNumbers
from lpca.receivers import TokenRows
from lpca.receivers.forward import Reading
from lpca.receivers.model import Receiver
from lpca.sabotage.catalogue import sabotage
from lpca.sabotage.faulty_run import FaultyRun
from lpca.sabotage.spoilt import noise, read_by, record_by, spoil_codec, spoil_records
from lpca.tasks import Episode
from lpca.tasks.kinds.trip import Trip


@sabotage("field", "the receiver was tuned while the codec was trained", "receiver_frozen")
def receiver_tuned(run: FaultyRun) -> None:
    """One layer moved a little."""
    run.own_receiver()
    weight = list(run.receiver.model.parameters())[-1]
    weight.data.mul_(1.001)


@sabotage("building", "the receiver is left in training mode", "receiver_frozen")
def receiver_in_training(run: FaultyRun) -> None:
    """Dropout, where the model has any, then makes outcomes random."""
    run.own_receiver()
    run.receiver.model.train()


@sabotage("field", "the checkpoint is another receiver's", "checkpoint_fits", "REFUSED")
def checkpoint_of_another_receiver(run: FaultyRun) -> None:
    """The weights under test are not those the codec was trained through."""
    run.receiver = replace(run.receiver, weights_hash=hash_data("another receiver"))
    run.checkpoint = Request(run.k, checkpoint=_folder(run))


@sabotage("field", "the checkpoint is of another k", "checkpoint_fits", "REFUSED")
def checkpoint_of_another_k(run: FaultyRun) -> None:
    """Twice as many latents are asked for."""
    run.checkpoint = Request(2 * run.k, checkpoint=_folder(run))


@sabotage("field", "the checkpoint is of another task", "checkpoint_fits", "REFUSED")
def checkpoint_of_another_task(run: FaultyRun) -> None:
    """The same messages, with another number of options."""
    run.task = Trip(5)
    run.checkpoint = Request(run.k, checkpoint=_folder(run))


def _folder(run: FaultyRun) -> Path:
    return run.codec_cache / "codecs" / run.codec.identity.hash()


@sabotage("field", "teacher forcing is reported as generation", "slow_path_agrees")
def teacher_forcing(run: FaultyRun) -> None:
    """Each token of the right answer is asked for with the ones before it given."""

    def forced(
        read: Reading, episodes: Sequence[Episode], given: Sequence[ReceivedPrompt]
    ) -> list[Outcome]:
        records = []
        for row, record in enumerate(read_outcomes(read, episodes, given)):
            episode, receiver = episodes[row], read.receiver
            nodes = read.trees[row].path(receiver.option_ids(episode.right))
            ids = read.at[row, nodes].argmax(-1).tolist()
            said = receiver.text(ids)
            named = named_option(said, episode.options)[0]
            records.append(replace(record, said_ids=tuple(ids), said=said, named=named))
        return records

    record_by(run, forced)


@sabotage("building", "options are scored by their first token alone", "slow_path_agrees")
def first_token_scores(run: FaultyRun) -> None:
    """Two options that begin alike are then told apart by nothing."""

    class FirstToken(Reading):
        def option_scores(self, options: Sequence[TokenRows]) -> list[list[float]]:
            return super().option_scores([[ids[:1] for ids in row] for row in options])

    read_by(run, FirstToken)


@sabotage("field", "rounding noise makes outcomes depend on the batch", "slow_path_agrees")
def batch_noise(run: FaultyRun) -> None:
    """Scores move by a hundredth of a nat with a row's place in the batch."""

    class Noisy(Reading):
        def option_scores(self, options: Sequence[TokenRows]) -> list[list[float]]:
            return [
                [score + 0.01 * (i + 1) * (1 if j % 2 else -1) for j, score in enumerate(row)]
                for i, row in enumerate(super().option_scores(options))
            ]

    read_by(run, Noisy)


@sabotage("field", "positions are counted from the padding's side", "slow_path_agrees")
def padding_counted(run: FaultyRun) -> None:
    """Rows shorter than the longest of their batch have their positions stretched."""

    class Counting(Receiver):
        def positions(self, visible: Tensor) -> Tensor:
            places = torch.arange(visible.shape[1], device=visible.device).expand_as(visible)
            return torch.as_tensor(places * (2 + (~visible).sum(1, keepdim=True)) // 2)

    honest = run.receiver
    run.receiver = Counting(**{field.name: getattr(honest, field.name) for field in fields(honest)})
    run.forget_outcomes()


@sabotage(
    "field",
    "outcomes are cached by name, so that a changed codec reuses old ones",
    "outcomes_traced",
)
def cached_by_name(run: FaultyRun) -> None:
    """An earlier codec filled the cache under the condition's name and the episodes' seeds."""
    honest = run.steps.make_job

    def named(receiver: Receiver, condition: str, episodes: Any, slots: Any) -> Job:
        job = honest(receiver, condition, episodes, slots)
        return replace(job, key=hash_data([condition, [e.seed for e in episodes]]))

    run.exchange_evaluation(make_job=named)
    sound = run.channel_codec
    shape = (run.k, run.receiver.d_model)
    spoil_codec(run, lambda prefix: prefix + noise(shape, 1))
    ledger, run.ledger = run.ledger, run.cache / "ledger"
    run.decide()
    run.channel_codec, run.ledger = sound, ledger


@sabotage("building", "the right answer is taken to be what B chose", "outcomes_traced")
def answers_follow_choices(run: FaultyRun) -> None:
    """A join on the wrong column."""

    def joined(record: Outcome) -> Outcome:
        return replace(record, answer=record.scores.index(max(record.scores)))

    spoil_records(run, joined)


@sabotage("building", "a few failures are turned into successes", "outcomes_traced")
def failures_touched_up(run: FaultyRun) -> None:
    """Every other failure under normal: as few as one in ten are found."""

    def turned(record: Outcome) -> Outcome:
        if record.likelihood_success or record.seed % 2:
            return record
        scores = list(record.scores)
        scores[record.answer] = max(scores) + 0.5
        return replace(record, scores=tuple(scores))

    spoil_records(run, turned, ["normal", "shuffle", "null", "random"])


@sabotage("building", "what a message costs is not reported", "numbers_reported")
def cost_unreported(run: FaultyRun) -> None:
    """Where latents are injected, evidence has no bits."""

    def unreported(condition: str, told: ConditionNumbers) -> ConditionNumbers:
        return told if condition == "p1" else replace(told, bits=None)

    spoil_numbers(run, unreported)


@sabotage("building", "latents are reported as fewer bits than they are", "numbers_reported")
def cost_understated(run: FaultyRun) -> None:
    """Each number counts as one bit, as if somebody had quantised it."""

    def understated(condition: str, told: ConditionNumbers) -> ConditionNumbers:
        told_bits = told.bits or 0.0
        return replace(told, bits=told_bits / 32) if condition == "normal" else told

    spoil_numbers(run, understated)


def spoil_numbers(
    run: FaultyRun, spoil: Callable[[str, ConditionNumbers], ConditionNumbers]
) -> None:
    """Change what evidence reports of a condition."""
    honest = run.steps.condition_numbers

    def spoilt(condition: str, *rest: Any) -> ConditionNumbers:
        return spoil(condition, honest(condition, *rest))

    run.exchange(condition_numbers=spoilt)
