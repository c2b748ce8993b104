from __future__ import annotations

from pathlib import Path

import pytest
import torch

from lpca.codec.architectures.token_pooler import TokenPooler
from lpca.codec.base import Codec
from lpca.receivers.load import load_receiver
from lpca.receivers.model import Receiver

MESSAGES = ("I am off to Rome.", "Hi.", "They offered me a job in Santiago, so I am moving there.")


@pytest.fixture
def pooler(receiver: Receiver) -> TokenPooler:
    with torch.random.fork_rng():
        torch.manual_seed(3)
        return TokenPooler(receiver, 5)


def test_it_keeps_the_protocol(pooler: TokenPooler) -> None:
    assert isinstance(pooler, Codec)


def test_shapes_and_type(pooler: TokenPooler, receiver: Receiver) -> None:
    latents = pooler.encode(MESSAGES)
    prefix = pooler.decode(latents)
    assert latents.shape == prefix.shape == (3, 5, receiver.d_model)
    assert latents.dtype == prefix.dtype == torch.float32


def test_latents_are_float32_whatever_the_receiver_computes_in(
    tiny_folders: dict[str, Path],
) -> None:
    coarse = load_receiver(str(tiny_folders["llama"]), "cpu", "bfloat16")
    pooler = TokenPooler(coarse, 2)
    assert pooler.decode(pooler.encode(MESSAGES)).dtype == torch.float32
    assert {p.dtype for p in pooler.parameters()} == {torch.float32}


@torch.no_grad()
def test_a_fresh_prefix_is_a_convex_mixture_of_the_messages_embeddings(
    pooler: TokenPooler, receiver: Receiver
) -> None:
    for message, prefix in zip(MESSAGES, pooler.decode(pooler.encode(MESSAGES)), strict=True):
        # One unknown per distinct token, far fewer than coordinates for the shortest message.
        tokens = receiver.embed(sorted(set(receiver.message_ids(message)))).double()
        weights = torch.linalg.lstsq(tokens.T, prefix.double().T).solution
        torch.testing.assert_close((tokens.T @ weights).T, prefix.double(), atol=1e-5, rtol=0)
        assert float(weights.min()) > -1e-5
        torch.testing.assert_close(weights.sum(0), torch.ones(5).double(), atol=1e-5, rtol=0)


@torch.no_grad()
def test_a_message_is_encoded_the_same_in_any_company(pooler: TokenPooler) -> None:
    together = pooler.encode(MESSAGES)
    for i, message in enumerate(MESSAGES):
        torch.testing.assert_close(pooler.encode([message])[0], together[i], atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(pooler.encode(MESSAGES[::-1]).flip(0), together)


@torch.no_grad()
def test_other_messages_and_other_queries_give_other_latents(pooler: TokenPooler) -> None:
    latents = pooler.encode(MESSAGES)
    assert float((latents[0] - latents[2]).norm()) > 0.1
    assert float((latents[0, 0] - latents[0, 1]).norm()) > 0.01


def test_every_parameter_gets_a_gradient_and_the_receiver_none(
    pooler: TokenPooler, receiver: Receiver
) -> None:
    pooler.decode(pooler.encode(MESSAGES)).square().sum().backward()
    assert not [
        name
        for name, p in pooler.named_parameters()
        if p.grad is None or not bool(p.grad.isfinite().all()) or float(p.grad.norm()) == 0
    ]
    assert all(p.grad is None for p in receiver.model.parameters())


def test_the_receiver_is_no_part_of_its_weights(pooler: TokenPooler) -> None:
    assert sum(value.numel() for value in pooler.state_dict().values()) < 20_000
