"""Codecs and controls that are not what they are said to be."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

import torch
from torch import Tensor, nn

from lpca.codec.objectives.answer import answer_loss
from lpca.evaluation.block import Computed, Job
from lpca.evaluation.conditions import Setting
from lpca.receivers.forward import Slot
from lpca.receivers.model import Receiver
from lpca.sabotage.base import sabotage
from lpca.sabotage.faulty_run import Stage
from lpca.sabotage.parts import Lookup, SpoiltTask, Wrapped, noise, sound_slots

LABEL_STEPS, LABEL_BATCH, LABEL_RATE = 200, 32, 2e-2


@sabotage(
    "field",
    "the prefix carries the right option's index only: the codec saw the label",
    "shuffle_below_p0",
    "FAIL",
)
def label_in_prefix(stage: Stage) -> None:
    """One trained prefix for each place in the list, looked up by the message."""
    task, receiver = stage.task, stage.receiver
    episodes = task.evaluation_set("test", "seen", stage.spec.evaluation.n, stage.spec.task.seed)
    labels = {e.message: e.answer for e in episodes}
    places = max(labels.values()) + 1
    shape = (places, stage.codec.identity.k, receiver.d_model)
    start = noise(shape, 0) * receiver.mean_embedding_norm / receiver.d_model**0.5
    prefixes = nn.Parameter(start)
    optimiser = torch.optim.Adam([prefixes], lr=LABEL_RATE)
    for step in range(LABEL_STEPS):
        batch = task.training_batch(step, LABEL_BATCH, 0)
        loss = answer_loss(receiver, batch, prefixes[[e.answer for e in batch]])
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
    stage.channel_codec = Lookup(labels, prefixes.detach())


@sabotage("building", "dropout stays on in evaluation", "encoding_repeatable")
def dropout_left_on(stage: Stage) -> None:
    """The same message gives other latents every time."""
    dropout = nn.functional.dropout
    stage.channel_codec = Wrapped(stage.codec.codec, lambda p: dropout(p, 0.05, training=True))


@sabotage("building", "latents depend on what else is in the batch", "encoding_repeatable")
def batch_statistics(stage: Stage) -> None:
    """As with batch normalisation that never left training mode."""
    stage.channel_codec = Wrapped(stage.codec.codec, lambda p: p - 0.1 * p.mean(0))


@sabotage("field", "more than k vectors carry the message", "prompt_is_p0s latents_injected")
def extra_positions(stage: Stage) -> None:
    """The message's own embeddings stand behind the latents."""

    def longer(setting: Setting) -> list[Slot]:
        latents, messages = sound_slots("normal", setting), sound_slots("embed", setting)
        return [
            Slot(vectors=torch.cat([_of(latent), _of(message)]))
            for latent, message in zip(latents, messages, strict=True)
        ]

    stage.condition("normal", longer)


def _of(slot: Slot) -> Tensor:
    assert slot.vectors is not None
    return slot.vectors


@sabotage("field", "the message's KV cache is passed along", "slow_path_agrees")
def cache_passed_along(stage: Stage) -> None:
    """Under normal B has read the message, at a door that what it is given does not pass."""
    honest = stage.steps.run_block

    def having_read(receiver: Receiver, jobs: Sequence[Job], batch_size: int) -> Computed:
        for job, records in honest(receiver, jobs, batch_size):
            if job.condition != "normal":
                yield job, records
                continue
            read = tuple(replace(e, before=f"{e.before} {e.message}") for e in job.episodes)
            [(_, told)] = honest(receiver, [replace(job, episodes=read)], batch_size)
            pairs = zip(told, records, strict=True)
            yield job, tuple(replace(one, given=shown.given) for one, shown in pairs)

    stage.exchange_evaluation(run_block=having_read)


@sabotage("field", "random has the wrong norm", "random_has_norms")
def random_too_long(stage: Stage) -> None:
    """A tenth longer than the latents."""
    stage.condition(
        "random", lambda s: [Slot(vectors=_of(slot) * 1.1) for slot in sound_slots("random", s)]
    )


@sabotage("building", "random is made of the latents", "random_is_noise")
def random_of_latents(stage: Stage) -> None:
    """Their values in another order: the norms are right."""
    stage.condition(
        "random", lambda s: [Slot(vectors=_of(slot).flip(1)) for slot in sound_slots("normal", s)]
    )


@sabotage("building", "null is a small constant", "null_is_zero")
def null_is_small(stage: Stage) -> None:
    """Of the order of rounding."""

    def small(setting: Setting) -> list[Slot]:
        shape = (setting.coded().k, setting.receiver.d_model)
        return [Slot(vectors=torch.full(shape, 1e-4)) for _ in setting.episodes]

    stage.condition("null", small)


@sabotage("building", "injected embeddings are scaled on their way", "plumbing_logits")
def plumbing_scaled(stage: Stage) -> None:
    """The injection path is not the text's."""
    stage.condition(
        "embed", lambda s: [Slot(vectors=_of(slot) * 1.05) for slot in sound_slots("embed", s)]
    )


@sabotage("building", "the static prefix sees the message", "static_is_static")
def static_sees(stage: Stage) -> None:
    """The control is the codec, a little off."""
    stage.static_codec = Wrapped(stage.codec.codec, lambda p: p * 0.99)


@sabotage("building", "the static prefix was hardly trained", "static_is_static")
def static_undertrained(stage: Stage) -> None:
    """A weak control makes a strong claim."""
    short = [{"steps": 3, "objective": {"answer": 1.0}}]
    recipe = {**stage.control.identity.recipe, "curriculum": short}
    identity = replace(stage.control.identity, recipe=recipe)
    stage.control = replace(stage.control, identity=identity)


@sabotage("building", "the mean latent is of the test message alone", "mean_is_mean")
def mean_of_one(stage: Stage) -> None:
    """The mean of one is the one."""
    stage.condition("mean", partial(sound_slots, "normal"))


@sabotage("building", "the paraphrase is the message itself", "same_answer_agrees")
def paraphrase_is_message(stage: Stage) -> None:
    """Identity then passes for content."""
    stage.task = SpoiltTask(stage.task, lambda e, i: replace(e, paraphrase=e.message))


@sabotage("building", "the donor's latents are another donor's", "shuffle_is_donors")
def shuffle_of_others(stage: Stage) -> None:
    """Of an episode whose answer is none of the options: B then guesses, and is not misled."""

    def others(setting: Setting) -> list[Slot]:
        whole = setting.episodes.whole.episodes
        place = {episode.seed: i for i, episode in enumerate(whole)}
        senders = [whole[(place[e.seed] + 7) % len(whole)] for e in setting.episodes]
        prefixes = setting.coded().prefixes([sender.message for sender in senders])
        return [Slot(vectors=prefix) for prefix in prefixes]

    stage.condition("shuffle", others)


CHANNELS = (
    label_in_prefix,
    dropout_left_on,
    batch_statistics,
    extra_positions,
    cache_passed_along,
    random_too_long,
    random_of_latents,
    null_is_small,
    plumbing_scaled,
    static_sees,
    static_undertrained,
    mean_of_one,
    paraphrase_is_message,
    shuffle_of_others,
)
