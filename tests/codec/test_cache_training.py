"""Channels of caches that lpca trains: what crosses, and that training moves it."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from gate_project import BASE, MAIN
from transformers import DynamicCache

from lpca.base.errors import RequestError
from lpca.codec.architectures import make_codec
from lpca.codec.channel import Channel
from lpca.codec.objectives import OBJECTIVES, Batch
from lpca.codec.recipe import Recipe, RecipeError, Stage
from lpca.codec.training import Training
from lpca.commands.cli import main
from lpca.evaluation.conditions import Setting, build_slots
from lpca.receivers.caches import flat, unflat
from lpca.tasks.kinds.trip import Trip

K = 3
MESSAGES = ("I am off to Rome.", "Hi.", "They offered me a job in Santiago, so I am moving there.")


def made(receiver, layers=(), name="cache_tokens"):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return make_codec(receiver, K, Recipe(name, {"layers": layers}))


@torch.no_grad()
def by_hand(receiver, codec, message):
    """Message and tokens read so that the first of the tokens stands at position 0."""
    own = receiver.embed(receiver.message_ids(message))
    tokens = codec.start + codec.unit * codec.offset
    places, kept = torch.arange(-len(own), K)[None], DynamicCache()
    rows = torch.cat([own, tokens])[None]
    receiver.model(inputs_embeds=rows, position_ids=places, past_key_values=kept, use_cache=True)
    return [(layer.keys[0, :, -K:], layer.values[0, :, -K:]) for layer in kept.layers]


@pytest.mark.parametrize("layers", [(), (0, 2)])
def test_what_crosses_is_what_the_receiver_keeps_of_the_learned_tokens(receiver, layers):
    codec = made(receiver, layers)
    with torch.no_grad():
        codec.offset.normal_(std=0.01)
    packets = Channel(receiver, codec, K).packets(MESSAGES)
    for message, packet in zip(MESSAGES, packets, strict=True):
        assert sorted(packet.cache) == list(layers or (0, 1, 2))
        wanted = by_hand(receiver, codec, message)
        for layer, (keys, values) in packet.cache.items():
            assert torch.allclose(keys, wanted[layer][0], atol=1e-4)
            assert torch.allclose(values, wanted[layer][1], atol=1e-4)


def test_rows_are_the_cache_that_they_are_laid_out_of(receiver):
    rows = torch.randn(K, 2 * 2 * 2 * 8)
    cache = unflat(receiver, rows, (0, 2))
    assert {n: keys.shape for n, (keys, _) in cache.items()} == {0: (2, K, 8), 2: (2, K, 8)}
    assert torch.equal(flat(cache), rows)


@pytest.mark.parametrize("name", ["cache_tokens", "static_cache"])
def test_training_moves_it_and_lowers_the_loss(llama, name):
    recipe = Recipe(name, {"layers": (1, 2)}, (Stage(12),), batch_size=6, validation_every=12)
    training = Training(llama, Trip(), partial(make_codec, llama, K, recipe), 0, recipe)
    before = training.codec.encode(MESSAGES).detach().clone()
    training.run(lambda _: None)
    assert not torch.equal(before, training.codec.encode(MESSAGES))
    episodes = Trip().training_batch(0, recipe.batch_size, 0)
    with torch.no_grad():
        rows = training.codec.encode([e.message for e in episodes])
        batch = Batch(llama, episodes, rows, port=training.codec.port)
        assert float(OBJECTIVES["answer"](batch)) < training.history[0].loss
    gap = training.history[-1].gap
    assert (gap == pytest.approx(0.0, abs=1e-6)) == (name == "static_cache")


def test_the_loss_reads_what_a_gate_injects(llama):
    episodes = Trip().evaluation_set("validation", "seen", 4, 0)
    codec = made(llama, (0, 2))
    setting = Setting(llama, Channel(llama, codec, K), episodes)
    with torch.no_grad():
        rows = codec.encode([e.message for e in episodes])
        batch = Batch(llama, list(episodes), rows, port=codec.port)
        wanted = batch.logits(build_slots("normal", setting))
        assert torch.allclose(batch.normal, wanted, atol=1e-5)
        # and objectives that read more than one way
        for name in ("help", "kl", "info_nce", "message_reconstruction", "similarity"):
            assert torch.isfinite(OBJECTIVES[name](batch)), name
    with pytest.raises(RequestError, match=r"objective mse .* are of cache; allowed: other"):
        OBJECTIVES["mse"](batch)


@pytest.mark.parametrize(
    ("layers", "told"),
    [
        (1, r"layers is 1; allowed: a list of numbers from 0 to 1023"),
        ([2, 1], r"layers is \[2, 1\]; allowed: rising numbers, each once"),
        ([1, 1], r"allowed: rising numbers, each once"),
        ([-1], "one of layers is -1; allowed: 0 to 1023"),
        (["1"], "one of layers is '1'; allowed: 0 to 1023"),
    ],
)
def test_layers_that_cannot_be_are_refused(layers, told):
    with pytest.raises(RecipeError, match=told):
        Recipe("cache_tokens", {"layers": layers})


def test_layers_that_the_receiver_lacks_are_refused(llama):
    with pytest.raises(RequestError, match="layer 7; allowed: 0 to 2, the receiver's"):
        made(llama, (0, 7))


@pytest.mark.slow(seconds=60)
def test_four_learned_tokens_carry_the_message_on_the_stub(project):
    """Trained as by default, in eight seconds; their control is a trained cache as well."""
    project.write(BASE + MAIN)
    (project.path / "gist.yaml").write_text("architecture: {name: cache_tokens}\n")
    main(["train", "--recipe", "gist.yaml", "--receiver", "stub", "--k", "4", "--out", "gist"])
    project.run("-m", "main", "--k", "4", "--checkpoint", "gist")
    evidence = project.evidence("main-k4")
    assert evidence["verdict"] == "PASS"
    assert evidence["static"]["architecture"] == "static_cache"
    assert evidence["codec"]["port"]["kind"] == "cache"
