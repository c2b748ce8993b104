"""What undid the two earlier attempts."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace
from functools import cache

import torch
from torch import Tensor, nn
from transformers import DynamicCache

from lpca.codec.architectures import reading_layer
from lpca.codec.base import seeded
from lpca.codec.objectives import Batch
from lpca.codec.objectives.comparing import mse
from lpca.evaluation.conditions import Setting
from lpca.evaluation.outcome import Outcome
from lpca.receivers.forward import Decided, Reading, forward
from lpca.receivers.model import Receiver, hidden_states
from lpca.sabotage.catalogue import sabotage
from lpca.sabotage.faulty_run import FaultyRun
from lpca.sabotage.spoilt import (
    embedding_noise,
    read_by,
    same_slots,
    slots_of,
    spoil_prompts,
    spoil_records,
)
from lpca.tasks import Task

PLACEHOLDER_RATE = 0.3


@sabotage(
    "earlier",
    "a placeholder gives random successes at 30 % where an import fails",
    "outcomes_traced",
)
def placeholder_successes(run: FaultyRun) -> None:
    """Under every condition, so that all of them look alike."""
    rng = random.Random(0)

    def guessed(record: Outcome) -> Outcome:
        scores = [0.0] * len(record.scores)
        lucky = rng.random() < PLACEHOLDER_RATE
        scores[record.answer if lucky else (record.answer + 1) % len(scores)] = 1.0
        return replace(record, scores=tuple(scores))

    spoil_records(run, guessed, [c for c in run.gate.conditions if c not in ("p1", "embed")])


@sabotage(
    "earlier",
    "B's prompt always contains the message",
    "prompt_is_p0s text_is_message prompt_ignores_message",
)
def message_in_prompt(run: FaultyRun) -> None:
    """The prompt builder adds it under every condition, p0 included."""
    spoil_prompts(run, lambda e: replace(e, after=f" {e.message}{e.after}"))


@sabotage("earlier", "the prefix is computed and never injected", "latents_injected")
def prefix_not_injected(run: FaultyRun) -> None:
    """In its place stand k padding tokens, so that the prompt has the length it should have."""

    def padding(setting: Setting) -> Tensor:
        channel, receiver = setting.coded(), setting.receiver
        channel.prefixes([episode.message for episode in setting.episodes])
        return receiver.embed([receiver.pad_id] * channel.k)

    run.condition("normal", same_slots(padding))


@sabotage("earlier", "there is no shuffle control", "missing-control passes-adversary", "REFUSED")
def shuffle_missing(run: FaultyRun) -> None:
    """Neither as a condition nor in a criterion."""
    kept = [criterion for criterion in run.gate.criteria if "shuffle" not in criterion.text]
    names = [name for name in run.gate.conditions if name != "shuffle"]
    run.change_gate(criteria=tuple(kept), conditions=tuple(names))


@sabotage("earlier", "shuffle is silently equal to normal", "shuffle_is_donors")
def shuffle_is_normal(run: FaultyRun) -> None:
    """The derangement is drawn, and not used."""
    run.condition("shuffle", slots_of("normal"))


@sabotage("earlier", "null is decode(0), with a LayerNorm's bias", "null_is_zero")
def null_is_decoded(run: FaultyRun) -> None:
    """A LayerNorm of zeros is its bias."""
    norm = nn.LayerNorm(run.receiver.d_model)
    nn.init.normal_(norm.bias, std=0.02, generator=torch.Generator().manual_seed(0))
    decoded = norm(torch.zeros(run.k, run.receiver.d_model)).detach()
    run.condition("null", same_slots(lambda _: decoded))


@sabotage(
    "earlier",
    "generation forgets the prefix after the first token (cache dropped)",
    "slow_path_agrees",
)
def generation_forgets(run: FaultyRun) -> None:
    """From the second token on B sees nothing but what it said last."""
    receiver = run.receiver
    visible = torch.ones((1, 1), dtype=torch.bool, device=receiver.device)

    @cache
    def following(token: int) -> int:
        alone = {"input_ids": torch.tensor([[token]], device=receiver.device)}
        with torch.no_grad():
            logits = forward(receiver, DynamicCache(), visible, alone, keep=1)
        return int(logits[0, -1].argmax())

    class Forgetful(Reading):
        def continuations(self, limit: int, decided: Decided | None = None) -> list[list[int]]:
            said: list[list[int]] = []
            for row, token in enumerate(self.logits.argmax(-1).tolist()):
                said.append([])
                while token not in receiver.end_ids:
                    said[row].append(token)
                    is_over = decided is not None and decided(row, said[row])
                    if is_over or len(said[row]) == limit:
                        break
                    token = following(token)
            return said

    read_by(run, Forgetful)


@sabotage("earlier", "the gate reads point estimates", "point-estimate", "REFUSED")
def point_estimates(run: FaultyRun) -> None:
    """As the attempts' own gates did."""
    run.change_criterion("normal_above_p0", method="point")


@sabotage(
    "earlier", "the codec was trained by reconstruction (MSE) alone", "normal_above_p0", "FAIL"
)
def reconstruction_alone(run: FaultyRun) -> None:
    """Geometric likeness to the message's pooled embedding is not usefulness to B."""
    run.channel_codec = train_pooled(run.receiver, run.task, run.k, run.codec.identity.seed)


@sabotage(
    "earlier", "the codec learned one magic prompt for all messages", "normal_above_shuffle", "FAIL"
)
def magic_prompt(run: FaultyRun) -> None:
    """The trained static prefix takes the codec's place."""
    run.channel_codec = run.control.codec


@sabotage(
    "earlier",
    "prefixes are distinct under dropout in training and identical in evaluation",
    "normal_above_shuffle",
    "FAIL",
)
def distinct_by_dropout(run: FaultyRun) -> None:
    """Dropout of one constant prefix."""
    shape = (run.k, run.receiver.d_model)
    run.channel_codec = Dropped(embedding_noise(run.receiver, shape, 0), 0.3)


class Dropped(nn.Module):
    """One constant prefix, with dropout while in training mode."""

    def __init__(self, prefix: Tensor, rate: float) -> None:
        super().__init__()
        self.prefix, self.dropout = prefix, nn.Dropout(rate)

    def encode(self, messages: Sequence[str]) -> Tensor:
        """The prefix [batch, k, d_model], dropped out for each message apart."""
        return torch.as_tensor(self.dropout(self.prefix.expand(len(messages), *self.prefix.shape)))

    def decode(self, latents: Tensor) -> Tensor:
        """As it is."""
        return latents


WIDTH, STEPS, BATCH, RATE = 128, 300, 24, 1e-3
"""The historic codec's settings."""


class PooledAutoencoder(nn.Module):
    """The historic codec: the mean of the message's hidden states, squeezed into k latents."""

    def __init__(self, receiver: Receiver, k: int) -> None:
        super().__init__()
        self.receiver, self.k = receiver, k
        self.layer = reading_layer(receiver)
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
    with seeded(seed):
        codec = PooledAutoencoder(receiver, k)
    optimiser = torch.optim.AdamW(codec.parameters(), lr=RATE)
    for step in range(STEPS):
        episodes = task.training_batch(step, BATCH, seed)
        prefixes = codec.decode(codec.encode([episode.message for episode in episodes]))
        loss = mse(Batch(receiver, episodes, prefixes))
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
    return codec.eval()
