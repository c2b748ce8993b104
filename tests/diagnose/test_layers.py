"""Which layers of a cache carry the message, of channels of which it is known."""

from __future__ import annotations

import pytest
import torch
from known_codecs import K, N

from lpca.channel import Packet, Port
from lpca.codec.base import CodecError
from lpca.codec.channel import Channel
from lpca.codec.user_codec import codec_given, obtain_own
from lpca.diagnose.episodes import Outcomes
from lpca.diagnose.sweeps import by_layer, perturbed, scale_sweep
from lpca.diagnose.whole import Diagnosed, diagnose
from lpca.evaluation.conditions import Setting, build_slots
from lpca.receivers.forward import own_caches
from lpca.tasks.kinds.trip import Trip

MOST = 40


class Alone:
    """The message's keys and values, read by itself; of the layers `noisy` noise instead."""

    def __init__(self, receiver, layers=(), noisy=()):
        self.receiver, self.noisy = receiver, noisy
        self.port = Port("cache", MOST, layers=layers)

    def send(self, views):
        ids = [self.receiver.message_ids(view.message) for view in views]
        caches = own_caches(self.receiver, [[]] * len(ids), ids)
        return [Packet(cache=self.spoilt(cache)) for cache in caches]

    def spoilt(self, cache):
        draw = torch.Generator().manual_seed(0)
        kept = {layer: cache[layer] for layer in self.port.layers or cache}
        for layer in self.noisy:
            kept[layer] = tuple(torch.randn(one.shape, generator=draw) for one in kept[layer])
        return kept


def channel_of(receiver, *given):
    made = Alone(receiver, *given)
    own = obtain_own(codec_given(lambda *_: made), receiver, MOST, None)
    return Channel(receiver, own.codec, MOST)


@pytest.fixture(scope="module")
def rows(stub, episodes):
    setting = Setting(stub, channel_of(stub), episodes)
    return by_layer(Outcomes(stub), setting, 0.95)["layers"]


def test_each_layer_is_left_out_and_kept_alone(rows, stub, episodes):
    assert [row["layer"] for row in rows] == list(range(stub.layers))
    # what a channel of the other layers has as normal, and one of that layer
    setting = Setting(stub, channel_of(stub, (0, 2)), episodes)
    outcomes = Outcomes(stub)
    [first, last] = by_layer(outcomes, setting, 0.95)["layers"]
    normal = outcomes.measure(episodes.episodes, {"normal": build_slots("normal", setting)})
    count = sum(one.likelihood_success for one in normal["normal"])
    assert rows[1]["without"]["successes"] == count
    assert rows[0]["alone"] == first["alone"] == last["without"]
    assert rows[2]["alone"] == last["alone"]


def test_the_layer_that_carries_it_is_found(rows, stub, episodes):
    """The stub reads a message by its last layer's keys and values; noise there carries nothing."""
    costs = [row["change"]["interval"][1] < 0 for row in rows]
    assert costs == [False, False, True]
    spoilt = Setting(stub, channel_of(stub, (), (2,)), episodes)
    last = by_layer(Outcomes(stub), spoilt, 0.95)["layers"][2]
    assert last["change"]["difference"] >= 0
    assert last["gain"]["interval"][0] <= 0 < rows[2]["gain"]["interval"][0]


def test_of_one_layer_nothing_can_be_left_out(stub, episodes):
    few = Setting(stub, channel_of(stub, (1,)), episodes.part(0, 4))
    [row] = by_layer(Outcomes(stub), few, 0.95)["layers"]
    assert (row["layer"], row["without"], row["change"]) == (1, None, None)


def test_a_diagnosis_of_caches_has_all_parts_but_those_of_embeddings(stub):
    channel, outcomes = channel_of(stub), Outcomes(stub)
    subject = Diagnosed(channel, Trip(), "seen", 5, 8, 60, 0.95, outcomes)
    sweep = scale_sweep(channel, subject.episodes, [0.0, 1.0], outcomes=outcomes)
    null = build_slots("null", Setting(stub, channel, subject.episodes))
    zeros = outcomes.measure(subject.episodes.episodes, {"null": null})["null"]
    assert sweep["scales"][0]["normal"]["successes"] == sum(one.gap > 0 for one in zeros)
    found = diagnose(subject, sweep, lambda label: lambda done, total: None, lambda text: None)
    # packets of several lengths have no latents to be probed
    assert list(found["failed"]) == ["probe"]
    assert {*found["parts"]} == {"similarity", "episodes", "noise", "scale", "layers"}
    assert any("leaving out layer" in one["text"] for one in found["reading"])


def test_noise_is_a_share_of_each_layers_own(stub, episodes):
    slots = build_slots("normal", Setting(stub, channel_of(stub), episodes.part(0, 3)))
    rows = episodes.episodes[:3]
    for slot, other in zip(slots, perturbed(slots, rows, 0.5), strict=True):
        for layer, both in slot.cache.items():
            for own, noisy in zip(both, other.cache[layer], strict=True):
                assert float((noisy - own).norm() / own.norm()) == pytest.approx(0.5, rel=1e-4)


def test_ids_have_no_scale(stub, episodes):
    made = Alone(stub)
    made.port = Port("ids", K, vocabulary=100)
    made.send = lambda views: [Packet(ids=torch.tensor([1, 2]))] * len(views)
    own = obtain_own(codec_given(lambda *_: made), stub, K, None)
    with pytest.raises(CodecError, match="packets of ids have no scale; allowed"):
        scale_sweep(Channel(stub, own.codec, K), episodes.part(0, N), [1.0])
