from __future__ import annotations

from functools import partial

import pytest
import torch

from lpca.codec.architectures.baselines import StaticPrefix
from lpca.codec.channel import Channel
from lpca.codec.objectives.answer import answer_loss
from lpca.codec.recipe import Recipe, Stage
from lpca.codec.training import Training
from lpca.receivers.model import Receiver
from lpca.tasks.kinds.trip import Trip

K = 3
RECIPE = Recipe(stages=(Stage(12),), batch_size=6, warmup_steps=2, validation_every=6)


def make(receiver: Receiver, seed: int = 0) -> StaticPrefix:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return StaticPrefix(receiver, K)


def test_it_starts_as_embeddings_of_tokens(receiver: Receiver) -> None:
    table = receiver.embedding.weight
    for vector in make(receiver).encode(["Hi."])[0]:
        assert bool((table == vector).all(-1).any())


def test_every_message_gets_the_same_prefix(receiver: Receiver) -> None:
    codec = make(receiver)
    found = codec.decode(codec.encode(["I am off to Rome.", "Hi.", ""]))
    assert found.shape == (3, K, receiver.d_model)
    assert torch.equal(found[0], found[1])
    assert torch.equal(found[0], found[2])


def test_another_seed_starts_elsewhere(llama: Receiver) -> None:
    assert not torch.equal(make(llama).encode(["Hi."]), make(llama, 1).encode(["Hi."]))


def test_training_moves_it_and_lowers_the_loss(llama: Receiver) -> None:
    training = Training(llama, Trip(), partial(StaticPrefix, llama, K), 0, RECIPE)
    before = training.codec.encode(["Hi."]).detach().clone()
    training.run(lambda _: None)
    assert not torch.equal(before, training.codec.encode(["Hi."]))
    # of the first batch before and after: other batches are harder or easier by more than this
    episodes = Trip().training_batch(0, RECIPE.batch_size, 0)
    with torch.no_grad():
        prefixes = training.codec.decode(training.codec.encode([e.message for e in episodes]))
        after = float(answer_loss(llama, episodes, prefixes))
    assert after < training.history[0].loss
    assert training.history[-1].gap == pytest.approx(0.0, abs=1e-6)


def test_a_channel_takes_it(llama: Receiver) -> None:
    channel = Channel(llama, make(llama), K)
    one, other = channel.prefixes(["I am off to Rome.", "Hi."])
    assert torch.equal(one, other)
    assert channel.fingerprint(["a"]) == channel.fingerprint(["b"])
