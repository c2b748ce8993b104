"""What undid the two earlier attempts."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from functools import partial

import torch
from torch import nn
from transformers import DynamicCache

from lpca.evaluation.conditions import Setting
from lpca.evaluation.outcome import Outcome
from lpca.receivers.forward import Reading, Slot, forward
from lpca.sabotage.base import sabotage
from lpca.sabotage.faulty_run import Stage
from lpca.sabotage.parts import Dropped, noise, read_by, sound_slots, spoil_prompts, spoil_records
from lpca.sabotage.pooled import train_pooled

PLACEHOLDER_RATE = 0.3


@sabotage(
    "earlier",
    "a placeholder gives random successes at 30 % where an import fails",
    "outcomes_traced",
)
def placeholder_successes(stage: Stage) -> None:
    """Under every condition, so that all of them look alike."""
    rng = random.Random(0)

    def guessed(record: Outcome) -> Outcome:
        scores = [0.0] * len(record.scores)
        lucky = rng.random() < PLACEHOLDER_RATE
        scores[record.answer if lucky else (record.answer + 1) % len(scores)] = 1.0
        return replace(record, scores=tuple(scores))

    spoil_records(stage, guessed, [c for c in stage.gate.conditions if c not in ("p1", "embed")])


@sabotage(
    "earlier",
    "B's prompt always contains the message",
    "prompt_is_p0s text_is_message prompt_ignores_message",
)
def message_in_prompt(stage: Stage) -> None:
    """The prompt builder adds it under every condition, p0 included."""
    spoil_prompts(stage, lambda e: replace(e, after=f" {e.message}{e.after}"))


@sabotage("earlier", "the prefix is computed and never injected", "latents_injected")
def prefix_not_injected(stage: Stage) -> None:
    """In its place stand k padding tokens, so that the prompt has the length it should have."""

    def padding(setting: Setting) -> list[Slot]:
        channel = setting.coded()
        channel.prefixes([episode.message for episode in setting.episodes])
        pads = setting.receiver.embed([setting.receiver.pad_id] * channel.k)
        return [Slot(vectors=pads) for _ in setting.episodes]

    stage.condition("normal", padding)


@sabotage("earlier", "there is no shuffle control", "missing-control", "REFUSED")
def shuffle_missing(stage: Stage) -> None:
    """Neither as a condition nor in a criterion."""
    kept = [one for one in stage.gate.criteria if "shuffle" not in one.text]
    names = [name for name in stage.gate.conditions if name != "shuffle"]
    stage.change_gate(criteria=tuple(kept), conditions=tuple(names))


@sabotage("earlier", "shuffle is silently equal to normal", "shuffle_is_donors")
def shuffle_is_normal(stage: Stage) -> None:
    """The derangement is drawn, and not used."""
    stage.condition("shuffle", partial(sound_slots, "normal"))


@sabotage("earlier", "null is decode(0), with a LayerNorm's bias", "null_is_zero")
def null_is_decoded(stage: Stage) -> None:
    """A LayerNorm of zeros is its bias."""
    norm = nn.LayerNorm(stage.receiver.d_model)
    nn.init.normal_(norm.bias, std=0.02, generator=torch.Generator().manual_seed(0))

    def decoded(setting: Setting) -> list[Slot]:
        zeros = torch.zeros(setting.coded().k, setting.receiver.d_model)
        return [Slot(vectors=norm(zeros).detach()) for _ in setting.episodes]

    stage.condition("null", decoded)


@sabotage(
    "earlier",
    "generation forgets the prefix after the first token (cache dropped)",
    "slow_path_agrees",
)
def generation_forgets(stage: Stage) -> None:
    """From the second token on B sees nothing but what it said last."""

    class Forgetful(Reading):
        @torch.no_grad()
        def greedy(
            self, limit: int, decided: Callable[[int, list[int]], bool] | None = None
        ) -> list[list[int]]:
            said: list[list[int]] = [[] for _ in range(self.logits.shape[0])]
            open_rows, logits = set(range(len(said))), self.logits
            for _ in range(limit):
                best = logits.argmax(-1)
                for row in sorted(open_rows):
                    token = int(best[row])
                    if token in self.receiver.end_ids:
                        open_rows.discard(row)
                        continue
                    said[row].append(token)
                    if decided is not None and decided(row, said[row]):
                        open_rows.discard(row)
                if not open_rows:
                    break
                alone = torch.ones((len(said), 1), dtype=torch.bool, device=best.device)
                step = {"input_ids": best[:, None]}
                logits = forward(self.receiver, DynamicCache(), alone, step, 1)[:, -1]
            return said

    read_by(stage, Forgetful)


@sabotage("earlier", "the gate reads point estimates", "point-estimate", "REFUSED")
def point_estimates(stage: Stage) -> None:
    """As the attempts' own gates did."""
    stage.change_criterion("normal_above_p0", method="point")


@sabotage(
    "earlier", "the codec was trained by reconstruction (MSE) alone", "normal_above_p0", "FAIL"
)
def reconstruction_alone(stage: Stage) -> None:
    """Geometric likeness to the message's pooled embedding is not usefulness to B."""
    identity = stage.codec.identity
    stage.channel_codec = train_pooled(stage.receiver, stage.task, identity.k, identity.seed)


@sabotage(
    "earlier", "the codec learned one magic prompt for all messages", "normal_above_shuffle", "FAIL"
)
def magic_prompt(stage: Stage) -> None:
    """The trained static prefix takes the codec's place."""
    stage.channel_codec = stage.control.codec


@sabotage(
    "earlier",
    "prefixes are distinct under dropout in training and identical in evaluation",
    "normal_above_shuffle",
    "FAIL",
)
def distinct_by_dropout(stage: Stage) -> None:
    """Dropout of one constant prefix."""
    shape = (stage.codec.identity.k, stage.receiver.d_model)
    constant = noise(shape, 0) * stage.receiver.mean_embedding_norm / shape[1] ** 0.5
    stage.channel_codec = Dropped(constant, 0.3)


EARLIER = (
    placeholder_successes,
    message_in_prompt,
    prefix_not_injected,
    shuffle_missing,
    shuffle_is_normal,
    null_is_decoded,
    generation_forgets,
    point_estimates,
    reconstruction_alone,
    magic_prompt,
    distinct_by_dropout,
)
