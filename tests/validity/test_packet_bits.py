"""Declared bits are held against the packets that crossed, and packets against the gate's limit."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
import torch
from torch import Tensor

from lpca.codec.channel import Channel
from lpca.evaluation.condition_numbers import packet_facts
from lpca.evaluation.conditions import Setting
from lpca.gatespec.model import MESSAGE_LATENTS
from lpca.receivers.model import Receiver
from lpca.tasks.kinds.trip import Trip
from lpca.validity.audit import Audit
from lpca.validity.catalogue import CheckFailed, DoesNotApply
from lpca.validity.checks.packets import bits_as_declared, packets_within_limit

K, N, WIDTH = 2, 12, 5
EPISODES = Trip(4).evaluation_set("test", "seen", N, 7)
MESSAGES = [episode.message for episode in EPISODES]


class Sends:
    """A codec that sends one of so many packets, of float16, for the message's place."""

    def __init__(self, different: int, bits: Any = None) -> None:
        self.different, self.bits = different, bits

    def encode(self, messages: Sequence[str]) -> Tensor:
        places = [MESSAGES.index(message) % self.different for message in messages]
        return torch.tensor(places).half()[:, None, None].expand(-1, K, WIDTH)

    def decode(self, latents: Tensor) -> Tensor:
        return latents[..., :1].float().expand(-1, -1, 32)


def audit(receiver: Receiver, codec: Sends, max_bits: float | None = None) -> Audit:
    setting = Setting(receiver, Channel(receiver, codec, K), EPISODES)
    return Audit(setting, Trip(4), {"normal": (), "shuffle": ()}, "", max_bits=max_bits)


@pytest.mark.parametrize(("different", "bits"), [(1, 0), (2, 1), (4, 2), (3, 2), (5, 2.33), (7, 3)])
def test_as_many_packets_as_declared_bits_allow_are_sound(
    llama: Receiver, different: int, bits: float
) -> None:
    told = bits_as_declared(audit(llama, Sends(different, bits)))
    assert f"{different} different packets crossed for {N} messages" in told


@pytest.mark.parametrize(
    ("different", "bits", "allowed"), [(2, 0, 1), (5, 2, 4), (12, 3, 8), (5, 2.3, 4)]
)
def test_more_packets_than_declared_bits_allow_are_found(
    llama: Receiver, different: int, bits: float, allowed: int
) -> None:
    told = f"{different} different packets .* declared {bits:g} bits allow {allowed}"
    with pytest.raises(CheckFailed, match=told):
        bits_as_declared(audit(llama, Sends(different, bits)))


def test_a_codec_that_declares_nothing_is_not_held_to_anything(llama: Receiver) -> None:
    with pytest.raises(DoesNotApply, match="declares no bits"):
        bits_as_declared(audit(llama, Sends(N)))


NARROW = K * WIDTH * 16
"""Bits of a packet as it crosses; what it decodes to would be K x 32 x 32."""


def test_the_limit_is_held_against_what_crossed_and_not_what_it_decodes_to(
    llama: Receiver,
) -> None:
    assert "160 bits" in packets_within_limit(audit(llama, Sends(N), NARROW))
    told = f"normal, episode {EPISODES.episodes[0].seed}: a packet of 160 bits, and max_bits is 159"
    with pytest.raises(CheckFailed, match=told):
        packets_within_limit(audit(llama, Sends(N), NARROW - 1))


def test_declared_bits_count_where_they_are_fewer_than_the_form_holds(llama: Receiver) -> None:
    assert "at most 2 bits" in packets_within_limit(audit(llama, Sends(4, 2), 2))
    with pytest.raises(CheckFailed, match="160 bits"):
        packets_within_limit(audit(llama, Sends(4, 1e6), 159))


def test_without_a_limit_nothing_is_held_to_it(llama: Receiver) -> None:
    with pytest.raises(DoesNotApply, match="max_bits"):
        packets_within_limit(audit(llama, Sends(N)))


def test_evidence_has_the_packets_as_they_crossed(llama: Receiver) -> None:
    assert {"normal", "shuffle"} <= {*MESSAGE_LATENTS}
    facts = packet_facts(audit(llama, Sends(3)).setting)
    assert (facts.kind, facts.messages, facts.distinct) == ("vectors", N, 3)
    assert (facts.positions, facts.capacity) == ((K, K), (NARROW, NARROW))
    assert facts.uncompressed == 0.0


def test_what_is_as_long_as_its_message_is_not_compressed(llama: Receiver) -> None:
    class Long(Sends):
        def encode(self, messages: Sequence[str]) -> Tensor:
            return super().encode(messages)[:, :1].expand(-1, length, -1)

    tokens = [len(llama.message_ids(message)) for message in MESSAGES]
    length = sorted(tokens)[N // 2]
    setting = Setting(llama, Channel(llama, Long(3), length), EPISODES)
    facts = packet_facts(setting)
    assert facts.uncompressed == sum(count <= length for count in tokens) / N
    assert 0.0 < facts.uncompressed < 1.0
