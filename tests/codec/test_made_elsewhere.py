"""Packets of a file as a channel at work: what B gets of them, and what they count."""

from __future__ import annotations

import math
import shutil

import pytest
import torch
from safetensors.torch import save_file

from lpca.base.errors import RequestError
from lpca.channel.elsewhere import ids_of
from lpca.channel.packets import View
from lpca.codec.base import CodecError
from lpca.codec.channel import Channel
from lpca.codec.user_codec import obtain_packets
from lpca.receivers.load import load_receiver

VIEWS = [View((f"To {town}.",)) for town in ("Oslo", "Rome", "Lima")]
K = 4


@pytest.fixture(scope="module")
def stub():
    return load_receiver("stub", device="cpu")


@pytest.fixture
def written(tmp_path):
    """Writes, for each view, what `part` gives by its number, under all its ids."""

    def write(part, name="packets.safetensors"):
        tensors = {
            f"{one}.{what}": tensor.clone()
            for number, view in enumerate(VIEWS)
            for one in ids_of(view)
            for what, tensor in part(number).items()
        }
        save_file(tensors, tmp_path / name)
        return tmp_path / name

    return write


def test_vectors_count_with_the_type_they_were_sent_in(stub, written):
    sent = torch.randn(3, stub.d_model).half()
    own = obtain_packets(written(lambda number: {"vectors": sent[: number + 1]}), stub, K)
    channel = Channel(stub, own.codec, K)
    got = channel.packets(VIEWS)
    assert [len(one) for one in got] == [1, 2, 3]
    assert all(torch.equal(one.vectors, sent[: len(one)].float()) for one in got)
    length = math.log2(K + 1)
    assert channel.capacity(VIEWS) == [n * stub.d_model * 16 + length for n in (1, 2, 3)]


def test_ids_are_tokens_of_the_receivers(stub, written):
    own = obtain_packets(written(lambda number: {"ids": torch.arange(9, 9 + number)}), stub, K)
    channel = Channel(stub, own.codec, K)
    assert [one.ids.tolist() for one in channel.packets(VIEWS)] == [[], [9], [9, 10]]
    size, length = math.log2(stub.embedding.num_embeddings), math.log2(K + 1)
    assert channel.capacity(VIEWS) == pytest.approx([length, size + length, 2 * size + length])


def test_keys_and_values_are_those_of_the_layers_that_are_there(stub, written):
    heads, dim = stub.model.config.num_key_value_heads, stub.model.config.head_dim
    keys, values = torch.randn(2, heads, 2, dim)
    part = {"cache.0.keys": keys, "cache.0.values": values}
    own = obtain_packets(written(lambda number: part), stub, K)
    assert (own.codec.port.kind, own.codec.port.layers) == ("cache", (0,))
    [got, *_] = Channel(stub, own.codec, K).packets(VIEWS)
    assert torch.equal(got.cache[0][0], keys)
    assert torch.equal(got.cache[0][1], values)
    narrow = {name: one[..., : dim // 2] for name, one in part.items()}
    other = obtain_packets(written(lambda number: narrow, "narrow"), stub, K)
    with pytest.raises(CodecError, match="codec narrow: send gives "):
        Channel(stub, other.codec, K).packets(VIEWS)


def test_a_file_is_known_by_its_content(stub, written, tmp_path):
    path = written(lambda number: {"ids": torch.tensor([number])})
    shutil.copy(path, tmp_path / "other-name")
    other = written(lambda number: {"ids": torch.tensor([number + 1])}, "other")
    first, renamed, second = (
        obtain_packets(one, stub, K).content_hash for one in (path, tmp_path / "other-name", other)
    )
    assert first == renamed != second


def test_evidence_says_where_packets_come_from_and_nothing_of_what_is_unknown(stub, written):
    own = obtain_packets(written(lambda number: {"ids": torch.tensor([number])}), stub, K)
    told = own.to_dict()
    assert {name: told[name] for name in ("origin", "isolation", "architecture", "k")} == {
        "origin": "packets",
        "isolation": "made elsewhere",
        "architecture": "packets.safetensors",
        "k": K,
    }
    unknown = ("trained_on", "seed", "recipe", "task", "bits", "code")
    assert [told[name] for name in unknown] == [None] * len(unknown)


def test_a_view_without_a_packet_is_a_fault_of_the_file(stub, written):
    own = obtain_packets(written(lambda number: {"ids": torch.tensor([number])}), stub, K)
    with pytest.raises(RequestError, match="is missing; these are packets of other views"):
        Channel(stub, own.codec, K).packets([View(("To nowhere.",))])
