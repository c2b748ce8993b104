"""Codecs of which it is known what a diagnosis must say."""

from __future__ import annotations

import pytest
import torch
from known_codecs import SEED, K, N, Noise

from lpca.codec.architectures.baselines import StaticPrefix
from lpca.codec.architectures.token_pooler import TokenPooler
from lpca.codec.channel import Channel
from lpca.codec.recipe import Recipe, Stage
from lpca.codec.training import Training
from lpca.receivers.load import load_receiver
from lpca.receivers.model import Receiver
from lpca.tasks import EpisodeSet
from lpca.tasks.kinds.trip import Trip


@pytest.fixture(scope="session")
def stub() -> Receiver:
    return load_receiver("stub", "cpu")


@pytest.fixture(scope="session")
def trained(stub: Receiver) -> Channel:
    """The default codec after a short training: it carries messages."""
    recipe = Recipe(stages=(Stage(50),))
    training = Training(stub, Trip(), lambda: TokenPooler(stub, K), 0, recipe)
    training.run(lambda progress: None)
    return Channel(stub, training.codec, K)


@pytest.fixture(scope="session")
def static(stub: Receiver) -> Channel:
    """A magic prompt: one prefix for every message."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return Channel(stub, StaticPrefix(stub, K), K)


@pytest.fixture(scope="session")
def noise(stub: Receiver) -> Channel:
    return Channel(stub, Noise(stub.d_model), K)


@pytest.fixture(scope="session")
def episodes() -> EpisodeSet:
    return Trip().evaluation_set("validation", "seen", N, SEED)
