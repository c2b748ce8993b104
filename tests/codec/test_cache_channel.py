"""A channel whose packets are keys and values: what goes through, and what its conditions hold."""

from __future__ import annotations

from dataclasses import dataclass, replace

import pytest
import torch

from lpca.base.errors import RequestError
from lpca.channel import Packet, Port
from lpca.channel.packets import PacketError
from lpca.codec.architectures import make_codec
from lpca.codec.base import CodecError
from lpca.codec.channel import Channel
from lpca.codec.recipe import Recipe
from lpca.codec.user_codec import codec_given, obtain_own
from lpca.evaluation.conditions import Setting, build_slots
from lpca.evaluation.conditions.shaped import drawn, heads_of, shape_of
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


def test_a_port_that_says_more_than_ports_do_is_refused(llama):
    """Keys at absolute positions, B's own columns: nothing of it would be done."""

    @dataclass(frozen=True)
    class Absolute(Port):
        absolute: bool = True

    with pytest.raises(RequestError, match="its port says 'absolute', which no port does") as told:
        channel_of(llama, Drawn(llama, K, port=Absolute("cache", K)))
    assert "keys are stored as if the slot began at position 0" in str(told.value)
    port = Port("cache", K)
    object.__setattr__(port, "columns", (0, 1))
    with pytest.raises(RequestError, match="its port says 'columns'"):
        channel_of(llama, Drawn(llama, K, port=port))


class OfTheClass(Port):
    absolute = True


class ByProperty(Port):
    @property
    def columns(self):
        return (0, 1)


class Unchecked(Port):
    def check(self, packet):
        pass


@pytest.mark.parametrize(
    ("kind", "told"),
    [
        (OfTheClass, "its port says 'absolute', which no port does"),
        (ByProperty, "its port says 'columns', which no port does"),
        (Unchecked, "its port is of a class of its own, .*Unchecked; allowed: lpca.channel.Port"),
    ],
)
def test_what_a_ports_class_says_is_no_less_refused(llama, kind, told):
    with pytest.raises(RequestError, match=told):
        channel_of(llama, Drawn(llama, K, port=kind("cache", K)))


@pytest.mark.parametrize("layers", [(-1,), ("0",), (False, True), (1, 0)])
def test_layers_of_a_port_that_are_none_are_refused_with_their_value(layers):
    with pytest.raises(PacketError) as told:
        Port("cache", K, layers=layers)
    assert repr(layers) in str(told.value)


def test_what_is_refused_after_sending_is_told_with_where_send_stands(llama):
    made = Drawn(llama, K, (0,))
    made.send = lambda views: [Packet(cache={1: (torch.zeros(1, 1, 1),) * 2})] * len(views)
    here = made.send.__code__.co_firstlineno
    with pytest.raises(CodecError, match=rf"layer 1; .* \(test_cache_channel.py:{here}\)$"):
        channel_of(llama, made).packets(["Hi"])


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


@pytest.mark.parametrize("name", ["mean", "shaped"])
def test_controls_that_caches_of_several_lengths_lack_are_refused_in_one_line(llama, name):
    with pytest.raises(CodecError, match=f"condition {name}: .* several shapes; allowed: ") as told:
        build_slots(name, setting_of(llama, Drawn(llama, K)))
    assert "\n" not in str(told.value)


def test_trained_vectors_are_no_control_of_caches(llama):
    static = Channel(llama, make_codec(llama, K, Recipe("static_prefix")), K)
    setting = replace(setting_of(llama, Drawn(llama, K)), static=static)
    with pytest.raises(CodecError, match="condition static: what was trained is vectors"):
        build_slots("static", setting)


@pytest.fixture(scope="module")
def setting(llama):
    """Caches of two layers at K positions, of 70 training messages."""
    made = Drawn(llama, K, (0, 2))
    training = tuple(one.message for one in Trip().training_batch(0, 70, 0))
    order = {message: number for number, message in enumerate(training)}
    made.send = lambda views: [made.of(5 * order.get(one.message, 70) + K) for one in views]
    return replace(setting_of(llama, made), training_messages=training)


class TestOfOneShape:
    def test_mean_is_that_of_the_keys_and_values(self, setting):
        packets = setting.coded().packets(setting.training_messages)
        for slot in build_slots("mean", setting):
            assert sorted(slot.cache) == [0, 2]
            for layer, both in slot.cache.items():
                for which, own in enumerate(both):
                    each = torch.stack([packet.cache[layer][which] for packet in packets])
                    assert torch.allclose(own, each.mean(0), atol=1e-5)

    def test_shaped_has_mean_and_covariance_of_each_head_alone(self, setting):
        channel = setting.coded()
        shape, heads = shape_of(setting), heads_of(channel)
        many = torch.stack([drawn(shape, seed, heads) for seed in range(4000)]).double()
        own = channel.training_prefixes(setting.training_messages).double()
        assert torch.allclose(many.mean(0), own.mean(0), atol=0.1)
        found, wanted = torch.cov(many[:, 1].T), torch.cov(own[:, 1].T)
        alike = heads[:, None] == heads
        assert alike.sum() == 4 * (2 * WIDTH) ** 2
        assert (found - wanted)[alike].abs().max() < 0.15
        # of other heads, and of other positions, nothing is left
        assert found[~alike].abs().max() < 0.15 < wanted[~alike].abs().max()
        assert all(len(slot) == K for slot in build_slots("shaped", setting))

    def test_static_is_one_trained_cache_of_the_ports_layers(self, setting, llama):
        recipe = Recipe().control(setting.coded().port)
        assert (recipe.architecture, recipe.settings) == ("static_cache", {"layers": (0, 2)})
        static = Channel(llama, make_codec(llama, K, recipe), K)
        first, *others = build_slots("static", replace(setting, static=static))
        assert sorted(first.cache) == [0, 2]
        assert len(first) == K
        assert all(torch.equal(one.cache[2][0], first.cache[2][0]) for one in others)


def test_alone_needs_a_channel_of_caches(llama):
    made = Drawn(llama, K, port=Port("vectors", K))
    with pytest.raises(CodecError, match="condition alone: the channel's packets are of vectors"):
        build_slots("alone", setting_of(llama, made))
