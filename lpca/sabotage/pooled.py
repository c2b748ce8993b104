"""The historic codec: one pooled vector of the message, trained to be rebuilt, not to be used."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from lpca.receivers.model import Receiver
from lpca.receivers.states import hidden_states
from lpca.tasks import Task

WIDTH, STEPS, BATCH, RATE = 128, 300, 24, 1e-3
LAYER_FRACTION = 0.4


class PooledAutoencoder(nn.Module):
    """The mean of the message's hidden states, squeezed into k latents and decoded again."""

    def __init__(self, receiver: Receiver, k: int) -> None:
        super().__init__()
        self.receiver, self.k = receiver, k
        self.layer = max(1, round(LAYER_FRACTION * receiver.layers))
        width = receiver.d_model
        self.norm = nn.LayerNorm(width)
        self.squeeze = nn.Linear(width, k * WIDTH)
        self.expand = nn.Sequential(
            nn.Linear(WIDTH, WIDTH), nn.GELU(), nn.Linear(WIDTH, width), nn.LayerNorm(width)
        )
        self.log_scale = nn.Parameter(torch.tensor(receiver.mean_embedding_norm / width**0.5).log())
        self.to(receiver.device)

    def pooled(self, messages: Sequence[str]) -> Tensor:
        """The mean hidden state [batch, d_model] of each message."""
        rows = [self.receiver.message_ids(message) for message in messages]
        states = hidden_states(self.receiver, rows, self.layer)
        return torch.stack([state.float().mean(0) for state in states])

    def encode(self, messages: Sequence[str]) -> Tensor:
        """Return latents [batch, k, WIDTH]."""
        squeezed = self.squeeze(self.norm(self.pooled(messages)))
        return torch.as_tensor(squeezed.view(len(messages), self.k, WIDTH))

    def decode(self, latents: Tensor) -> Tensor:
        """Return prefix embeddings [batch, k, d_model], of the embedding table's norm."""
        return torch.as_tensor(self.expand(latents) * self.log_scale.exp())


def train_pooled(receiver: Receiver, task: Task, k: int, seed: int) -> PooledAutoencoder:
    """Train by mean squared error between the prefix's mean and the message's mean embedding."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        codec = PooledAutoencoder(receiver, k)
    optimiser = torch.optim.AdamW(codec.parameters(), lr=RATE)
    for step in range(STEPS):
        messages = [episode.message for episode in task.training_batch(step, BATCH, seed)]
        means = [receiver.embed(receiver.message_ids(m)).float().mean(0) for m in messages]
        rebuilt = codec.decode(codec.encode(messages)).mean(1)
        loss = nn.functional.mse_loss(rebuilt, torch.stack(means))
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
    return codec.eval()
