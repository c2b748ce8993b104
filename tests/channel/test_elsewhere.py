"""Packets that another program has made: their file, and what in it is refused."""

from __future__ import annotations

import json
import struct

import pytest
import torch
from safetensors.torch import save_file

from lpca.base.errors import RequestError
from lpca.channel.alike import differing
from lpca.channel.elsewhere import ids_of, read_packets
from lpca.channel.packets import Packet, View

VIEWS = [View((f"message {number}",)) for number in range(60)]
IDS = [name for view in VIEWS for name in ids_of(view)]
TWICE = next(view for view in VIEWS if len(ids_of(view)) == 2)
K, WIDTH, VOCABULARY = 4, 6, 50


def sound(n=3):
    return {
        f"{name}.vectors": torch.full((n, WIDTH), float(len(view.message)))
        for view in VIEWS
        for name in ids_of(view)
    }


def judged(path):
    made = read_packets(path)
    made.refuse_unfit(K, WIDTH, VOCABULARY)
    made.refuse_others(VIEWS)
    return made


def refused(path, tensors, told):
    save_file(tensors, path)
    with pytest.raises(RequestError, match=told) as caught:
        judged(path)
    assert "\n" not in str(caught.value)
    assert str(path) in str(caught.value)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "packets.safetensors"


def test_sound_packets_are_found_by_their_view(path):
    save_file(sound(), path)
    made = judged(path)
    assert (made.kind, made.positions, made.layers) == ("vectors", 3, ())
    assert torch.equal(made.of(VIEWS[7]).vectors, torch.full((3, WIDTH), 9.0))
    assert len(made.sha256) == 64
    with pytest.raises(RequestError, match="is missing; these are packets of other views"):
        made.of(View(("no such message",)))


def test_packets_of_other_gates_views_are_no_fault(path):
    save_file(sound(), path)
    made = read_packets(path)
    made.refuse_others(VIEWS[:5], lambda: VIEWS)
    with pytest.raises(RequestError, match="packets were not asked for"):
        made.refuse_others(VIEWS[:5], lambda: VIEWS[:9])


def test_lengths_may_differ_and_be_nothing(path):
    tensors = sound() | {f"{ids_of(VIEWS[0])[0]}.vectors": torch.zeros(0, WIDTH)}
    for name in ids_of(VIEWS[0]):
        tensors[f"{name}.vectors"] = torch.zeros(0, WIDTH)
    save_file(tensors, path)
    made = judged(path)
    assert len(made.of(VIEWS[0])) == 0


def without(tensors, *names):
    return {key: one for key, one in tensors.items() if key.partition(".")[0] not in names}


@pytest.mark.parametrize(
    ("tensors", "told"),
    [
        (without(sound(), *IDS[3:5]), f"2 of {len(IDS)} packets are missing, first {IDS[3]}"),
        (
            sound() | {"0123.vectors": torch.zeros(3, WIDTH)},
            "were not asked for, first '0123'; these are packets of other views",
        ),
        ({"0123.vectors": torch.zeros(3, WIDTH)}, "packets of other views; run lpca views again"),
        (sound(n=5), "has 5 positions; allowed with --k 4: at most 4"),
        (sound() | {f"{IDS[0]}.vectors": torch.full((3, WIDTH), torch.nan)}, "holds NaN"),
        (
            sound() | {f"{IDS[0]}.vectors": torch.full((3, WIDTH), 1e300, dtype=torch.float64)},
            "holds NaN or infinity, read as float32",
        ),
        (sound() | {f"{IDS[0]}.vectors": torch.zeros(3, 7)}, "vectors of 7 numbers; allowed: 6"),
        (
            sound() | {f"{IDS[0]}.vectors": torch.zeros(3, WIDTH, dtype=torch.int64)},
            "numbers of type torch.int64",
        ),
        (sound() | {f"{IDS[0]}.vectors": torch.zeros(WIDTH)}, "allowed: 2-D"),
        (sound() | {f"{IDS[0]}.latents": torch.zeros(1)}, "allowed: ID.ids, ID.vectors"),
        ({f"{name}.ids": torch.tensor([1, 50]) for name in IDS}, "has the id 50; allowed .* to 49"),
        ({f"{name}.ids": torch.tensor([-1]) for name in IDS}, "has the id -1"),
        ({f"{name}.ids": torch.tensor([1.0]) for name in IDS}, "allowed: whole numbers"),
        (
            without(sound(), IDS[0]) | {f"{IDS[0]}.ids": torch.tensor([1])},
            "its packets are ids and vectors; allowed: one of them",
        ),
        ({"x": torch.zeros(1)}, "allowed: ID.ids"),
    ],
)
def test_what_does_not_answer_the_views_is_one_line(path, tensors, told):
    refused(path, tensors, told)


def test_one_view_has_one_packet(path):
    first, second = ids_of(TWICE)
    own = sound()[f"{first}.vectors"]
    own[1] *= 1 + 2e-3
    refused(
        path,
        sound() | {f"{second}.vectors": own},
        f"{first} and {second} are one view, and their packets differ: vectors by 0.002",
    )


def test_rounding_is_no_difference_and_one_small_vector_is_none_hidden_by_a_huge_one():
    vectors = torch.randn(4, 32, generator=torch.Generator().manual_seed(0))
    assert differing(Packet(vectors=vectors), Packet(vectors=vectors * (1 + 1e-5))) == ""
    huge = vectors.clone()
    huge[0] *= 1e5
    other = huge.clone()
    other[3] = -other[3]
    assert "more than rounding" in differing(Packet(vectors=huge), Packet(vectors=other))
    half = vectors.half()
    assert differing(Packet(vectors=half), Packet(vectors=(half * 1.01).half())) == ""
    moved = Packet(vectors=vectors * 1.01)
    assert "more than rounding" in differing(Packet(vectors=vectors), moved)


@pytest.mark.parametrize(
    ("other", "told"),
    [
        (Packet(ids=torch.tensor([1, 3])), "ids are [1, 2] and [1, 3]"),
        (Packet(ids=torch.tensor([1, 2, 3])), "ids of torch.int64 (2,) and torch.int64 (3,)"),
        (Packet(vectors=torch.zeros(1, 2)), "they have other parts"),
        (Packet(ids=torch.tensor([1, 2])), ""),
    ],
)
def test_ids_and_kinds_are_compared_as_they_are(other, told):
    assert differing(Packet(ids=torch.tensor([1, 2])), other) == told


def test_caches_are_compared_layer_by_layer():
    keys, values = torch.randn(2, 3, 8), torch.randn(2, 3, 8)
    one = Packet(cache={0: (keys, values), 5: (keys, values)})
    assert differing(one, Packet(cache={0: (keys, values), 5: (keys, values)})) == ""
    found = differing(one, Packet(cache={0: (keys, values), 5: (keys, values + 0.1)}))
    assert found.startswith("cache.5.values by ")


@pytest.mark.parametrize("kept", [0, 5, 40, 400])
def test_a_torn_file_is_said_to_be_one(path, kept):
    save_file(sound(), path)
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(RequestError, match=r"this is no whole file of safetensors \("):
        read_packets(path)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"PK\x03\x04" + b"\0" * 100, "no whole file of safetensors"),
        (struct.pack("<Q", 2) + b"{}", "there are no packets in it"),
        (
            (head := json.dumps({"a.vectors": {"dtype": "F8_E4M3", "shape": [1, 1]}}).encode())
            and struct.pack("<Q", len(head)) + head,
            "no whole file of safetensors",
        ),
    ],
)
def test_what_is_no_file_of_packets_is_refused(path, content, told):
    path.write_bytes(content)
    with pytest.raises(RequestError, match=told):
        read_packets(path)


def test_a_file_that_is_not_there_is_refused(path):
    with pytest.raises(RequestError, match="no such file"):
        read_packets(path)
