"""A channel whose packets are keys and values: what goes through, and what its conditions hold."""

from __future__ import annotations

import pytest
import torch

from lpca.base.errors import RequestError
from lpca.channel import Packet, Port
from lpca.codec.base import CodecError
from lpca.codec.channel import Channel
from lpca.codec.user_codec import codec_given, obtain_own
from lpca.evaluation.conditions import Setting, build_slots
from lpca.receivers.forward import own_caches
from lpca.tasks.kinds.trip import Trip

K = 4
HEADS, WIDTH = 2, 8


class Drawn:
    """Numbers that follow from the message's length; of some layers."""

    def __init__(self, receiver, k, layers=(), port=None):
        self.layers, self.port = (
            layers or range(receiver.layers),
            port or Port("cache", k, layers=layers),
        )

    def send(self, views):
        return [self.of(len(view.message)) for view in views]

    def of(self, length):
        draw = torch.Generator().manual_seed(length)
        shape = (HEADS, min(K, length % 5), WIDTH)
        return Packet(
            cache={
                layer: (torch.randn(shape, generator=draw), torch.randn(shape, generator=draw))
                for layer in self.layers
            }
        )


def channel_of(receiver, made):
    return Channel(receiver, obtain_own(codec_given(lambda *_: made), receiver, K, None).codec, K)


def setting_of(receiver, made):
    episodes = Trip().evaluation_set("test", "seen", 12, 0)
    return Setting(receiver, channel_of(receiver, made), episodes, None, ("I go to Oslo.", "Rome"))


def of(n, heads=HEADS, width=WIDTH):
    return torch.ones(heads, n, width), torch.ones(heads, n, width)


@pytest.mark.parametrize(
    ("layers", "cache", "told"),
    [
        ((), {0: of(1), 1: of(1)}, "the cache has layers 0, 1; allowed: 0, 1, 2"),
        ((0, 2), {0: of(1), 1: of(1)}, "a cache of layer 1; allowed: 0, 2, its port's layers"),
        ((0, 2), {0: of(1)}, "the cache has layers 0; allowed: 0, 2"),
        ((0,), {0: of(1, heads=4)}, "of the receiver's 2 heads of keys"),
        ((0,), {0: of(1, width=16)}, r"allowed: \[2, n, 8\]"),
        ((0,), {0: of(K + 1)}, "a packet of 5 positions; allowed: at most 4"),
        ((0,), {0: (torch.full((2, 1, 8), torch.nan), of(1)[1])}, "NaN or infinity"),
        ((0,), {0: (torch.zeros(2, 2, 8), torch.zeros(2, 2, 8))}, "zeros at its last position"),
        (
            (0, 1),
            {0: of(1), 1: of(2)},
            "layers of 1 and of 2 positions; allowed: one number in all layers",
        ),
    ],
)
def test_what_is_none_of_the_receivers_or_the_ports_is_refused_in_one_line(
    llama, layers, cache, told
):
    made = Drawn(llama, K, layers)
    made.send = lambda views: [Packet(cache=cache)] * len(views)
    with pytest.raises(CodecError, match=told) as refused:
        channel_of(llama, made).packets(["Hi"])
    assert "\n" not in str(refused.value)


def test_a_port_of_layers_that_the_receiver_lacks_is_refused(llama):
    with pytest.raises(RequestError, match="its port has layer 7; allowed: 0 to 2"):
        channel_of(llama, Drawn(llama, K, (0, 7)))


def test_caches_go_through_a_port_of_caches_alone(llama):
    made = Drawn(llama, K, port=Port("vectors", K))
    with pytest.raises(CodecError, match="a packet of cache; allowed: vectors"):
        channel_of(llama, made).packets(["Hello"])


def test_conditions_hold_caches_of_the_packets_own_size(llama):
    setting = setting_of(llama, Drawn(llama, K, (0, 2)))
    normal, null, noise = (build_slots(name, setting) for name in ("normal", "null", "random"))
    assert len({*map(len, normal)}) > 2
    for own, zeros, other in zip(normal, null, noise, strict=True):
        assert [sorted(one.cache) for one in (own, zeros, other) if len(own)] == [[0, 2]] * (
            3 * bool(len(own))
        )
        for layer, both in own.cache.items():
            for mine, nothing, random in zip(
                both, zeros.cache[layer], other.cache[layer], strict=True
            ):
                assert nothing.shape == random.shape == mine.shape
                assert not nothing.any()
                # of each head at each position
                assert torch.allclose(random.norm(dim=-1), mine.norm(dim=-1))
                assert not torch.allclose(random, mine) or not mine.numel()
    donors = [normal[donor] for donor in setting.episodes.donors]
    for mine, donor in zip(build_slots("shuffle", setting), donors, strict=True):
        assert len(mine) == len(donor)
        assert all(torch.equal(mine.cache[n][0], donor.cache[n][0]) for n in donor.cache)
    assert not any(map(len, build_slots("empty", setting)))


def test_embed_and_alone_are_the_messages_own(llama):
    setting = setting_of(llama, Drawn(llama, K, (0, 2)))
    episodes = setting.episodes
    ids = [llama.message_ids(one.message) for one in episodes]
    starts = [llama.prompt_start_ids(one.before) for one in episodes]
    embed, alone = build_slots("embed", setting), build_slots("alone", setting)
    for slot, cache in zip(embed, own_caches(llama, starts, ids), strict=True):
        assert list(slot.cache) == [0, 1, 2]
        assert all(torch.allclose(slot.cache[n][0], cache[n][0], atol=1e-5) for n in cache)
    for slot, cache in zip(alone, own_caches(llama, [[]] * len(ids), ids), strict=True):
        assert list(slot.cache) == [0, 2]
        assert all(torch.allclose(slot.cache[n][1], cache[n][1], atol=1e-5) for n in (0, 2))


@pytest.mark.parametrize("name", ["mean", "shaped", "static"])
def test_controls_that_caches_do_not_have_are_refused_in_one_line(llama, name):
    with pytest.raises(CodecError, match=f"condition {name}: .* allowed: ") as refused:
        build_slots(name, setting_of(llama, Drawn(llama, K)))
    assert "\n" not in str(refused.value)


def test_alone_needs_a_channel_of_caches(llama):
    made = Drawn(llama, K, port=Port("vectors", K))
    with pytest.raises(CodecError, match="condition alone: the channel's packets are of vectors"):
        build_slots("alone", setting_of(llama, made))
