"""Codecs and controls that are not what they are said to be."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from lpca.channel.packets import Packet, Port, View
from lpca.codec.objectives.answer import answer_loss
from lpca.codec.users_code import GuardedChannel
from lpca.evaluation.block import Computed, Job
from lpca.evaluation.conditions import Setting, build_slots
from lpca.evaluation.conditions.shaped import shape_of
from lpca.receivers.forward import Slot, in_slots
from lpca.receivers.model import Receiver
from lpca.sabotage.catalogue import sabotage
from lpca.sabotage.faulty_run import FaultyRun
from lpca.sabotage.spoilt import (
    Wrapped,
    also_under,
    embedding_noise,
    same_slots,
    slots_of,
    sound_vectors,
    spoil_codec,
    spoil_episodes,
)
from lpca.tasks import Episode, joined

LABEL_STEPS, LABEL_BATCH, LABEL_RATE = 200, 32, 2e-2


@sabotage(
    "field",
    "the prefix carries the right option's index only: the codec saw the label",
    "normal_names_no_place",
)
def label_in_prefix(run: FaultyRun) -> None:
    """One trained prefix for each place in the list, looked up by the message."""
    labels = {episode.message: episode.answer for episode in run.test_episodes()}
    shape = (max(labels.values()) + 1, run.k, run.receiver.d_model)
    prefixes = nn.Parameter(embedding_noise(run.receiver, shape, 0))
    optimiser = torch.optim.Adam([prefixes], lr=LABEL_RATE)
    for step in range(LABEL_STEPS):
        batch = run.task.training_batch(step, LABEL_BATCH, 0)
        loss = answer_loss(run.receiver, batch, prefixes[[e.answer for e in batch]])
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
    run.channel_codec = Lookup(labels, prefixes.detach())


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


@sabotage("building", "dropout stays on in evaluation", "encoding_repeatable")
def dropout_left_on(run: FaultyRun) -> None:
    """The same message gives other latents every time."""
    spoil_codec(run, lambda prefix: nn.functional.dropout(prefix, 0.05, training=True))


@sabotage("building", "latents depend on what else is in the batch", "encoding_repeatable")
def batch_statistics(run: FaultyRun) -> None:
    """As with batch normalisation that never left training mode."""
    spoil_codec(run, lambda prefix: prefix - 0.1 * prefix.mean(0))


@sabotage("building", "decode goes by a message's place, not by its latents", "encoding_repeatable")
def decoded_by_place(run: FaultyRun) -> None:
    """What `encode` remembers `decode` gives: nothing crosses."""
    run.channel_codec = ByPlace(run.codec.codec, lambda prefix: prefix)


class ByPlace(Wrapped):
    """A codec that sends zeros."""

    last: Tensor

    def encode(self, messages: Sequence[str]) -> Tensor:
        """Zeros; the prefixes are remembered."""
        self.last = super().decode(super().encode(messages))
        return torch.zeros(*self.last.shape[:2], 1)

    def decode(self, latents: Tensor) -> Tensor:
        """What is remembered, whatever the latents."""
        return self.last[: len(latents)]


@sabotage("building", "one sender's packet stands in another's slot", "latents_injected")
def packets_in_each_others_slots(run: FaultyRun) -> None:
    """Of two senders, each with a slot, both packets are the codec's, and none is in its place."""

    def two_senders(episode: Episode, _: int) -> Episode:
        told = episode.message, "We leave before dawn."
        both = replace(episode, message=joined(told), senders=told)
        return replace(both, order=(0, 1), between=(" Also:",))

    def turned(setting: Setting) -> list[Slot]:
        slots = build_slots("normal", replace(setting, exchanged={}))
        pairs = zip(setting.episodes, slots, strict=True)
        return [in_slots(run.receiver, episode, slot.parts[::-1]) for episode, slot in pairs]

    spoil_episodes(run, two_senders)
    run.condition("normal", turned)


@sabotage("field", "0 bits are declared of latents that tell the message", "bits_as_declared")
def no_bits_declared(run: FaultyRun) -> None:
    """A codec that is said to send one packet for all, and sends the sound codec's."""
    declared = Wrapped(run.codec.codec, lambda prefix: prefix)
    declared.bits = 0.0
    run.channel_codec = declared


@sabotage("building", "a packet holds more than the gate allows", "packets_within_limit")
def packets_too_large(run: FaultyRun) -> None:
    """By one bit."""
    run.change_gate(max_bits=run.k * run.receiver.d_model * 32 - 1)


@sabotage("building", "a connector gives what it made of the packet before", "encoding_repeatable")
def connector_remembers(run: FaultyRun) -> None:
    """Which message B gets then depends on which one came before it."""
    codec = run.codec.codec

    class Remembers:
        port = Port("vectors", run.k)
        last: Packet | None = None

        def send(self, views: Sequence[View]) -> list[Packet]:
            latents = codec.encode([view.message for view in views])
            return [Packet(vectors=row) for row in latents]

        def receive(self, packet: Packet) -> Packet:
            assert packet.vectors is not None
            made = Packet(vectors=codec.decode(packet.vectors[None])[0])
            self.last, before = made, self.last
            return made if before is None else before

    run.channel_codec = guarded(Remembers())


@sabotage("building", "a packet is padded with zeros in B's slot", "prompt_is_p0s latents_injected")
def packet_padded(run: FaultyRun) -> None:
    """B reads a vector of zeros as something: it is no absence."""
    receiver = run.receiver

    class Beginnings:
        port = Port("vectors", run.k)

        def send(self, views: Sequence[View]) -> list[Packet]:
            ids = [receiver.message_ids(view.message)[: run.k - 1] for view in views]
            return [Packet(vectors=receiver.embed(own)) for own in ids]

    run.channel_codec = guarded(Beginnings())

    def padded(setting: Setting) -> list[Slot]:
        vectors = sound_vectors("normal", setting)
        return [Slot(vectors=pad(own, (0, 0, 0, run.k - len(own)))) for own in vectors]

    run.condition("normal", padded)


def guarded(channel: Any) -> GuardedChannel:
    """Return a channel with a port as a run asks it, in this process."""
    return GuardedChannel(type(channel).__name__, channel, channel.port, None)


@sabotage("field", "the number of positions tells the answer", "lengths_say_nothing")
def length_tells_answer(run: FaultyRun) -> None:
    """A packet of ones: B's side looks up in a table what so many of them stand for."""
    _tell_by_length(run, lambda n: 1)


@sabotage(
    "building",
    "it does, and a parity shows B's side where it is not a packet's own",
    "lengths_say_nothing",
)
def length_has_parity(run: FaultyRun) -> None:
    """To others' content at a message's length it says something else."""
    _tell_by_length(run, lambda n: 1 + n % 2)


def _tell_by_length(run: FaultyRun, mark: Callable[[int], int]) -> None:
    """Send as many vectors as the answer's place in a table, each with the mark of their number."""
    kept = tuple(name for name in run.gate.conditions if name != "mean")
    criteria = tuple(one for one in run.gate.criteria if "mean" not in one.claim.conditions)
    run.change_gate(conditions=kept, criteria=criteria)
    codec = run.codec.codec
    known = {episode.right: episode.message for episode in run.test_episodes()}
    table = list(known.values())

    class Lengths:
        port = Port("vectors", len(table))

        def send(self, views: Sequence[View]) -> list[Packet]:
            places = [self.place(view.message) for view in views]
            return [Packet(vectors=torch.full((n, 1), float(mark(n)))) for n in places]

        def place(self, message: str) -> int:
            # one of what the table does not know
            return next((i for i, answer in enumerate(known, 1) if answer in message), 1)

        def receive(self, packet: Packet) -> Packet:
            assert packet.vectors is not None
            n = len(packet)
            fits = bool((packet.vectors == mark(n)).all())
            told = table[n - 1] if fits else table[7 * n % len(table)]
            return Packet(vectors=codec.decode(codec.encode([told]))[0])

    run.channel_codec = guarded(Lengths())


@sabotage("field", "more than k vectors carry the message", "prompt_is_p0s latents_injected")
def extra_positions(run: FaultyRun) -> None:
    """The message's own embeddings stand behind the latents."""

    def longer(setting: Setting) -> list[Slot]:
        pairs = zip(sound_vectors("normal", setting), sound_vectors("embed", setting), strict=True)
        return [Slot(vectors=torch.cat(pair)) for pair in pairs]

    run.condition("normal", longer)


@sabotage("field", "the message's KV cache is passed along", "slow_path_agrees")
def cache_passed_along(run: FaultyRun) -> None:
    """Under normal B has read the message, on a way that no record shows."""
    honest = run.steps.run_block

    def having_read(receiver: Receiver, jobs: Sequence[Job], batch_size: int) -> Computed:
        for job, records in honest(receiver, jobs, batch_size):
            if job.condition != "normal":
                yield job, records
                continue
            read = tuple(replace(e, before=f"{e.before} {e.message}") for e in job.episodes)
            [(_, told)] = honest(receiver, [replace(job, episodes=read)], batch_size)
            pairs = zip(told, records, strict=True)
            yield job, tuple(replace(one, given=shown.given) for one, shown in pairs)

    run.exchange_evaluation(run_block=having_read)


@sabotage("field", "random has the wrong norm", "random_has_norms")
def random_too_long(run: FaultyRun) -> None:
    """A tenth longer than the latents."""
    run.condition("random", slots_of("random", lambda vectors: vectors * 1.1))


@sabotage("building", "random is made of the latents", "random_is_noise")
def random_of_latents(run: FaultyRun) -> None:
    """Their values in another order: the norms are right."""
    run.condition("random", slots_of("normal", lambda vectors: vectors.flip(1)))


@sabotage("building", "null is a small constant", "null_is_zero")
def null_is_small(run: FaultyRun) -> None:
    """Of the order of rounding."""
    small = torch.full((run.k, run.receiver.d_model), 1e-4)
    run.condition("null", same_slots(lambda _: small))


@sabotage("building", "injected embeddings are scaled on their way", "plumbing_logits")
def plumbing_scaled(run: FaultyRun) -> None:
    """The injection path is not the text's."""
    run.condition("embed", slots_of("embed", lambda vectors: vectors * 1.05))


@sabotage("building", "the static prefix sees the message", "static_is_static")
def static_sees(run: FaultyRun) -> None:
    """The control is the codec, a little off."""
    run.static_codec = Wrapped(run.codec.codec, lambda prefix: prefix * 0.99)


@sabotage("building", "the static prefix was hardly trained", "static_is_static")
def static_undertrained(run: FaultyRun) -> None:
    """A weak control makes a strong claim."""
    short = [{"steps": 3, "objective": {"answer": 1.0}}]
    recipe = {**run.control.identity.recipe, "curriculum": short}
    run.control = replace(run.control, identity=replace(run.control.identity, recipe=recipe))


@sabotage("building", "zeros are put into the trained static prefix's file", "static_is_static")
def static_of_zeros(run: FaultyRun) -> None:
    """With its hash renewed: null under another name."""
    run.static_codec = Wrapped(run.control.codec, lambda prefix: prefix * 0)


@sabotage("building", "the mean latent is of the test message alone", "mean_is_mean")
def mean_of_one(run: FaultyRun) -> None:
    """The mean of one is the one."""
    run.condition("mean", slots_of("normal"))


@sabotage("building", "shaped noise lies around the episode's own latents", "shaped_is_shaped")
def shaped_of_own(run: FaultyRun) -> None:
    """Noise with the message in it."""
    also_under(run, "shaped")

    def around_own(setting: Setting) -> list[Slot]:
        mean, _ = shape_of(setting)
        pairs = zip(sound_vectors("shaped", setting), sound_vectors("normal", setting), strict=True)
        return [Slot(vectors=noise - mean.float() + own) for noise, own in pairs]

    run.condition("shaped", around_own)


@sabotage("building", "the empty message is the episode's own", "empty_is_empty")
def empty_is_full(run: FaultyRun) -> None:
    """The control is then the claim."""
    also_under(run, "empty")
    run.condition("empty", slots_of("normal"))


@sabotage("building", "the first k tokens are more than k", "text_is_message")
def first_tokens_too_many(run: FaultyRun) -> None:
    """The whole message stands there; what is left of it is then no baseline."""
    also_under(run, "first_k")
    run.condition("first_k", lambda setting: build_slots("p1", setting))


@sabotage("building", "keywords are chosen by the right answer", "text_is_message")
def keywords_of_answer(run: FaultyRun) -> None:
    """No more than k tokens of the message, and always those that decide."""
    also_under(run, "keywords_k")

    def answering(setting: Setting) -> list[Slot]:
        found = [setting.receiver.message_ids(episode.right) for episode in setting.episodes]
        return [Slot(ids=tuple(ids[: run.k])) for ids in found]

    run.condition("keywords_k", answering)


@sabotage("building", "the paraphrase is the message itself", "same_answer_agrees")
def paraphrase_is_message(run: FaultyRun) -> None:
    """Identity then passes for content."""
    spoil_episodes(run, lambda e, _: replace(e, paraphrase=e.message))


@sabotage("building", "the donor's latents are another donor's", "shuffle_is_donors")
def shuffle_of_others(run: FaultyRun) -> None:
    """Of an episode whose answer is none of the options: B then guesses, and is not misled."""

    def others(setting: Setting) -> list[Slot]:
        whole = setting.episodes.whole.episodes
        place = {episode.seed: i for i, episode in enumerate(whole)}
        senders = [whole[(place[e.seed] + 7) % len(whole)] for e in setting.episodes]
        prefixes = setting.coded().prefixes([sender.message for sender in senders])
        return [Slot(vectors=prefix) for prefix in prefixes]

    run.condition("shuffle", others)
