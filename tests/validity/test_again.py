"""Whether a channel that is made anew sends and receives the same: those that remember do not."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch

from lpca.channel.packets import Packet, Port, View
from lpca.codec.channel import Channel
from lpca.codec.users_code import make
from lpca.evaluation.conditions import Setting
from lpca.receivers.model import Receiver
from lpca.tasks.kinds.trip import Trip
from lpca.validity.audit import Audit
from lpca.validity.catalogue import CannotTell, CheckFailed
from lpca.validity.checks.again import remembers_nothing

N, K = 60, 4
EPISODES = Trip(4).evaluation_set("test", "seen", N, 7)


class Letters:
    """Two vectors, of the numbers of a message's letters."""

    def __init__(self, receiver: Receiver, k: int) -> None:
        self.port, self.width = Port("vectors", k), receiver.d_model

    def send(self, views: Sequence[View]) -> list[Packet]:
        return [self.packet(view.message) for view in views]

    def packet(self, message: str) -> Packet:
        rows = torch.ones(2, self.width)
        rows[:, :3] += torch.tensor([float(ord(one)) for one in message[-4:-1]])
        return Packet(vectors=rows)


class Cached(Letters):
    """It keeps what it gave, gives that again, and writes into one buffer."""

    def __init__(self, receiver: Receiver, k: int) -> None:
        super().__init__(receiver, k)
        self.kept: dict[str, Packet] = {}
        self.buffer = torch.zeros(2, self.width)

    def send(self, views: Sequence[View]) -> list[Packet]:
        for view in views:
            self.kept.setdefault(view.message, self.packet(view.message))
        return [self.kept[view.message] for view in views]

    def receive(self, packet: Packet) -> Packet:
        return Packet(vectors=self.buffer.copy_(packet.vectors))


class Hears(Cached):
    """Each packet says how many messages came before, and stays as it was first."""

    def packet(self, message: str) -> Packet:
        return Packet(vectors=super().packet(message).vectors + len(self.kept))


class Counts(Cached):
    """The other side does so."""

    def receive(self, packet: Packet) -> Packet:
        name = str(packet.vectors.tolist())
        self.kept.setdefault(name, Packet(vectors=packet.vectors + len(self.kept)))
        return self.kept[name]


class Whispers(Cached):
    """Of how many came before no more than rounding is told, which the other side reads."""

    def packet(self, message: str) -> Packet:
        first = torch.full((1,), 1 + 1e-8 * len(self.kept), dtype=torch.float64)
        return Packet(vectors=torch.ones(2, self.width, dtype=torch.float64) * first)

    def receive(self, packet: Packet) -> Packet:
        count = round((float(packet.vectors[0, 0]) - 1) * 1e8)
        return Packet(vectors=torch.full((2, self.width), 1.0 + count))


class Rounds(Cached):
    """A packet differs by rounding alone."""

    def packet(self, message: str) -> Packet:
        rows = super().packet(message).vectors.double()
        return Packet(vectors=rows * (1 + 1e-8 * len(self.kept)))

    def receive(self, packet: Packet) -> Packet:
        return Packet(vectors=packet.vectors.float())


class Shortens(Cached):
    """A packet has one vector where an odd number of messages was told before."""

    def packet(self, message: str) -> Packet:
        return Packet(vectors=super().packet(message).vectors[: 1 if len(self.kept) % 2 else 2])


def audit(receiver: Receiver, factory: Callable[[Receiver, int], Any]) -> Audit:
    codec = make("own:Own", factory, receiver, K).codec
    setting = Setting(receiver, Channel(receiver, codec, K), EPISODES)
    # the run has asked for all of them
    setting.coded().packets([episode.message for episode in EPISODES])
    return Audit(setting, Trip(4), {"normal": []}, "")


@pytest.fixture(autouse=True)
def any_sample(monkeypatch: pytest.MonkeyPatch) -> None:
    """Outcomes are not read here: the sample is the first episodes."""
    monkeypatch.setattr(Audit, "sample_for", lambda self, purpose, size: list(range(size)))


@pytest.mark.parametrize(
    ("of", "told"),
    [
        (Letters, "sent by a side made anew"),
        (Cached, "both sides made anew"),
        (Rounds, "both sides made anew"),
    ],
)
def test_who_remembers_what_it_made_gives_the_same(llama: Receiver, of: Any, told: str) -> None:
    assert told in remembers_nothing(audit(llama, of))


@pytest.mark.parametrize(
    ("of", "told"),
    [
        (Hears, "A's side, made anew .* sends other packets: .* more than rounding"),
        (Shortens, r"A's side, made anew .* differ, the first in vectors of "),
        (Whispers, "alike but for rounding, and B's side makes something else of them: .* differ"),
        (Counts, "B's side, made anew .* makes something else of them: .* differ"),
    ],
)
def test_who_makes_packets_of_what_it_heard_is_found(llama: Receiver, of: Any, told: str) -> None:
    with pytest.raises(CheckFailed, match=told):
        remembers_nothing(audit(llama, of))


def test_one_object_is_not_made_anew(llama: Receiver) -> None:
    only = Hears(llama, K)
    with pytest.raises(CannotTell, match="nothing makes this channel anew"):
        remembers_nothing(audit(llama, lambda receiver, k: only))
