"""Packets: what they are, what they can hold at most, and their form in a file."""

from __future__ import annotations

import math

import pytest
import torch

from lpca.channel.packets import Packet, PacketError, Port, View, packed, unpacked


def cache(layers: tuple[int, ...] = (0, 3), n: int = 5) -> Packet:
    keys, values = torch.randn(2, n, 8), torch.randn(2, n, 8)
    return Packet(cache={layer: (keys + layer, values - layer) for layer in layers})


def test_packets_of_all_kinds_come_back_from_their_tensors() -> None:
    sent = {
        "a": Packet(ids=torch.tensor([3, 1])),
        "b.ids": Packet(vectors=torch.randn(3, 4)),
        "c": cache(),
        "none": Packet(vectors=torch.zeros(0, 4)),
    }
    got = unpacked(packed(sent), sent)
    assert list(got) == list(sent)
    for name, one in sent.items():
        assert one.kind == got[name].kind
        assert len(one) == len(got[name])
        pairs = zip(one.tensors("x").items(), got[name].tensors("x").items(), strict=True)
        for (own_name, own), (other_name, other) in pairs:
            assert own_name == other_name
            assert torch.equal(own, other)


@pytest.mark.parametrize(
    ("tensors", "told"),
    [
        ({}, "packet 'a' is missing"),
        ({"a.ids": torch.zeros(2), "b.ids": torch.zeros(2)}, "belongs to no packet"),
        ({"a.latents": torch.zeros(2)}, "allowed: ID.ids"),
        ({".vectors": torch.zeros(1, 2)}, "tensor '.vectors'; allowed: ID.ids"),
        ({"a.cache.0.keys": torch.zeros(1, 2, 3)}, "layer 0 has no values"),
        ({"a.cache.00.keys": torch.zeros(1, 2, 3)}, "allowed: ID.ids"),
        ({"a.ids": torch.zeros(2), "a.vectors": torch.zeros(2, 2)}, "one of ids, vectors"),
        ({"a.vectors": torch.zeros(2)}, "allowed: 2-D"),
    ],
)
def test_what_is_no_packet_is_refused_by_name(tensors: dict[str, torch.Tensor], told: str) -> None:
    with pytest.raises(PacketError, match=told):
        unpacked(tensors, ["a"])


def test_capacity_is_of_what_crosses() -> None:
    vectors = Packet(vectors=torch.zeros(3, 10, dtype=torch.bfloat16))
    assert vectors.bits(Port("vectors", 7), varies=False) == 3 * 10 * 16
    assert vectors.bits(Port("vectors", 7), varies=True) == 3 * 10 * 16 + 3
    ids = Packet(ids=torch.tensor([1, 2, 3]))
    assert ids.bits(Port("ids", 3, vocabulary=1000), varies=False) == 3 * math.log2(1000)
    assert cache().bits(Port("cache", 5), varies=False) == 2 * 2 * 2 * 5 * 8 * 32


@pytest.mark.parametrize(
    "port",
    [
        {"kind": "text", "positions": 4},
        {"kind": "vectors", "positions": 0},
        {"kind": "vectors", "positions": True},
        {"kind": "ids", "positions": 4},
        {"kind": "vectors", "positions": 4, "vocabulary": 9},
        {"kind": "vectors", "positions": 4, "layers": (1,)},
        {"kind": "cache", "positions": 4, "layers": (2, 1)},
    ],
)
def test_a_port_that_cannot_be_is_refused(port: dict[str, object]) -> None:
    with pytest.raises(PacketError):
        Port(**port)  # type: ignore[arg-type]


def test_a_view_of_several_senders_has_no_only_message() -> None:
    assert View(("one",)).message == "one"
    with pytest.raises(ValueError, match="2 messages"):
        _ = View(("one", "two")).message
