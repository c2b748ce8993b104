"""How much has crossed: capacity by message, and how many different packets there were."""

from __future__ import annotations

import math

import pytest
import torch

from lpca.channel.capacity import Sizes
from lpca.channel.packets import Packet, Port


def crossed(port: Port, **packets: Packet) -> Sizes:
    found = Sizes(port)
    for name, packet in packets.items():
        found.note(name, packet)
    return found


def test_a_sentence_embedding_counts_as_it_crossed() -> None:
    port = Port("vectors", 4)
    found = crossed(port, a=Packet(vectors=torch.zeros(1, 384)))
    assert found.bits(["a"]) == [384 * 32]
    half = crossed(port, a=Packet(vectors=torch.zeros(1, 384, dtype=torch.bfloat16)))
    assert half.bits(["a"]) == [384 * 16]


def test_the_range_of_n_counts_where_n_varies() -> None:
    port = Port("ids", 7, vocabulary=16)
    same = crossed(port, a=Packet(ids=torch.tensor([1, 2])), b=Packet(ids=torch.tensor([3, 3])))
    assert same.bits(["a", "b"]) == [8, 8]
    other = crossed(port, a=Packet(ids=torch.tensor([1, 2])), b=Packet(ids=torch.tensor([3])))
    assert other.bits(["a", "b"]) == [8 + math.log2(8), 4 + math.log2(8)]
    # what else has crossed, in a run that found less in its cache, says nothing of these
    assert other.bits(["a"]) == [8]
    assert [other.positions(name) for name in "ab"] == [2, 1]


def test_packets_differ_by_a_bit_a_type_a_shape_and_a_layer() -> None:
    one = torch.ones(2, 3)
    cache = torch.ones(1, 2, 3)
    found = crossed(
        Port("vectors", 4),
        same=Packet(vectors=one),
        again=Packet(vectors=one.clone().T.contiguous().T),
        bit=Packet(vectors=one.nextafter(torch.tensor(2.0))),
        type=Packet(vectors=one.half()),
        shape=Packet(vectors=one.reshape(3, 2)),
        none=Packet(vectors=one[:0]),
        cache=Packet(cache={0: (cache, cache)}),
        layer=Packet(cache={1: (cache, cache)}),
        bfloat=Packet(vectors=one.bfloat16()),
    )
    names = ["same", "again", "bit", "type", "shape", "none", "cache", "layer", "bfloat"]
    assert found.distinct(names) == 8
    assert found.distinct(names[:2]) == 1


def test_of_a_message_that_crosses_twice_the_first_packet_counts() -> None:
    found = crossed(Port("vectors", 4), a=Packet(vectors=torch.zeros(1, 2)))
    found.note("a", Packet(vectors=torch.ones(3, 2)))
    assert (found.positions("a"), found.distinct(["a"])) == (1, 1)
    with pytest.raises(LookupError):
        found.bits(["b"])
