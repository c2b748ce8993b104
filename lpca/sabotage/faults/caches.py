"""Channels of caches that are not what they are said to be: columns, layers, places, lengths."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from unittest.mock import patch

import torch
from torch import Tensor
from transformers import DynamicCache
from transformers.cache_utils import DynamicLayer

from lpca.channel.packets import Packet, Port, View
from lpca.codec.architectures import make_codec
from lpca.codec.recipe import Recipe
from lpca.evaluation.block import Computed, Job
from lpca.evaluation.conditions import Setting, build_slots
from lpca.receivers.caches import Cache, append_caches, held, placed
from lpca.receivers.forward import Slot, own_caches
from lpca.receivers.model import Receiver
from lpca.sabotage.catalogue import sabotage
from lpca.sabotage.faults.channels import guarded
from lpca.sabotage.faulty_run import FaultyRun

MOST = 40
"""Positions: as many as any message has tokens."""


class Kept:
    """The receiver's own keys and values of a message, of some layers or all."""

    def __init__(self, receiver: Receiver, layers: tuple[int, ...] = ()) -> None:
        self.receiver, self.port = receiver, Port("cache", MOST, layers=layers)

    def send(self, views: Sequence[View]) -> list[Packet]:
        """One packet for each view, as long as its message."""
        return [Packet(cache=cache) for cache in self.caches([one.message for one in views])]

    def caches(self, messages: Sequence[str]) -> Iterator[Cache]:
        """By layer, of the port's layers."""
        ids = [self.receiver.message_ids(message)[:MOST] for message in messages]
        for whole in own_caches(self.receiver, [[]] * len(ids), ids):
            yield {layer: whole[layer] for layer in self.port.layers or whole}


def _of_caches(run: FaultyRun, channel: Kept, *lacking: str) -> None:
    """Let a gate, without `mean` and some other conditions, read a channel of caches."""
    lacking = ("mean", *lacking)
    kept = tuple(name for name in run.gate.conditions if name not in lacking)
    criteria = (one for one in run.gate.criteria if not {*lacking} & {*one.claim.conditions})
    run.change_gate(conditions=kept, criteria=tuple(criteria))
    run.channel_codec = guarded(channel)
    run.codec = replace(run.codec, identity=replace(run.codec.identity, k=MOST))
    run.control = replace(run.control, identity=replace(run.control.identity, k=MOST))


@sabotage("field", "a cache is written into B's own columns as well", "slow_path_agrees")
def cache_in_own_columns(run: FaultyRun) -> None:
    """What B has read before the slot gets some of the message, and no record shows it."""
    _of_caches(run, Kept(run.receiver), "static")
    honest = run.steps.run_block

    def writing(
        receiver: Receiver,
        cache: DynamicCache,
        slots: Sequence[Cache],
        starts: Sequence[int],
        least: int = 0,
    ) -> Tensor:
        for number, (layer, (_, own)) in enumerate(zip(cache.layers, held(cache), strict=True)):
            assert isinstance(layer, DynamicLayer)
            # a copy: every condition reads on from these columns
            values = own.clone()
            for row, slot in enumerate(slots):
                if slot:
                    values[row, :, -1] += slot[number][1].mean(1).to(values)
            layer.values = values
        return append_caches(receiver, cache, slots, starts, least)

    def having_written(receiver: Receiver, jobs: Sequence[Job], batch_size: int) -> Computed:
        for job in jobs:
            to = writing if job.condition == "normal" else append_caches
            with patch("lpca.receivers.forward.append_caches", to):
                yield from honest(receiver, [job], batch_size)

    run.exchange_evaluation(run_block=having_written)


@sabotage("field", "layers that the port does not declare hold the message", "latents_injected")
def undeclared_layers(run: FaultyRun) -> None:
    """The port says one layer, and B gets all."""
    _of_caches(run, Kept(run.receiver, (0,)), "static")
    whole = Kept(run.receiver)
    _changed(run, lambda slot, message: next(whole.caches([message])))


@sabotage("building", "keys are turned to the slot's place twice", "latents_injected")
def keys_turned_twice(run: FaultyRun) -> None:
    """As of a channel that stores them at absolute positions."""
    _of_caches(run, Kept(run.receiver), "static")
    _changed(run, lambda slot, message: placed(run.receiver, slot, MOST))


@sabotage("building", "the trained cache sees the message", "static_is_static")
def static_cache_sees(run: FaultyRun) -> None:
    """The control of a channel of caches reads what it must not."""
    _of_caches(run, Kept(run.receiver))
    run.static_codec = make_codec(run.receiver, MOST, Recipe("cache_tokens"))


@sabotage("field", "a cache's number of positions tells the answer", "lengths_say_nothing")
def cache_length_tells_answer(run: FaultyRun) -> None:
    """A cache of ones: B's side looks up in a table what so many positions stand for."""
    known = {episode.right: episode.message for episode in run.test_episodes()}
    table = list(known.values())
    _of_caches(run, Lengths(run.receiver, list(known), table), "static")


class Lengths(Kept):
    """As many positions of nothing as an answer has its place in a list that both sides know."""

    def __init__(self, receiver: Receiver, answers: Sequence[str], table: Sequence[str]) -> None:
        super().__init__(receiver)
        self.answers, self.table = answers, table
        self.port = Port("cache", len(answers))

    def send(self, views: Sequence[View]) -> list[Packet]:
        """Ones, at as many positions."""
        [like] = self.caches(["."])
        return [
            Packet(
                cache={
                    layer: (_ones(keys, n), _ones(values, n))
                    for layer, (keys, values) in like.items()
                }
            )
            for n in (self.place(view.message) for view in views)
        ]

    def place(self, message: str) -> int:
        """One of what the list does not have."""
        return next((i for i, one in enumerate(self.answers, 1) if one in message), 1)

    def receive(self, packet: Packet) -> Packet:
        """The message that stands there."""
        return super().send([View((self.table[len(packet) - 1],))])[0]


def _ones(like: Tensor, n: int) -> Tensor:
    return torch.ones(like.shape[0], n, like.shape[2])


def _changed(run: FaultyRun, change: Callable[[Cache, str], Cache]) -> None:
    """Let what stands in the slot under normal be another cache."""

    def made(setting: Setting) -> list[Slot]:
        slots = build_slots("normal", replace(setting, exchanged={}))
        pairs = zip(slots, setting.episodes, strict=True)
        return [Slot(cache=change(slot.cache, episode.message)) for slot, episode in pairs]

    run.condition("normal", made)
