"""All parts of a diagnosis; one that fails is told, and the others go on."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import normalize

from lpca.base.errors import RunError
from lpca.codec.channel import Channel, similarity
from lpca.diagnose.episodes import Outcomes, Report, by_episode
from lpca.diagnose.oracle import cram
from lpca.diagnose.probe import probe
from lpca.diagnose.sentences import sentences
from lpca.diagnose.sweeps import by_layer, confirm_scale, noise_sweep
from lpca.evaluation.conditions import Setting
from lpca.evidence.json_form import to_data
from lpca.gatespec.model import Answers
from lpca.tasks import MAX_TASK_SEED, EpisodeSet, Task

SHOWN, NEAREST = 4, 3
"""Of how many episodes latents are shown, each with how many tokens."""


@dataclass(frozen=True, eq=False)
class Diagnosed:
    """What is looked at, and on which validation episodes; each count is one of episodes.

    `oracle` is None where none was asked for.
    """

    channel: Channel
    task: Task
    answers: Answers
    seed: int
    n: int
    probed: int
    confidence: float
    outcomes: Outcomes
    oracle: tuple[int, int] | None = None
    """How many episodes, and how many steps."""

    @property
    def episodes(self) -> EpisodeSet:
        """The episodes that all parts but two read."""
        return self.drawn(self.n)

    def drawn(self, n: int, later: int = 0) -> EpisodeSet:
        """Return n validation episodes of the task's seed, or of one later by so much."""
        seed = (self.seed + later) % (MAX_TASK_SEED + 1)
        return self.task.evaluation_set("validation", self.answers, n, seed)


def diagnose(
    codec: Diagnosed,
    sweep: Mapping[str, Any],
    evaluating: Callable[[str], Report],
    tell: Callable[[str], None],
) -> dict[str, Any]:
    """Return `parts`, what of them `failed`, and the `reading`, as JSON data.

    `sweep` is what `scale_sweep` gave on the codec's episodes.
    """
    channel, episodes, confidence = codec.channel, codec.episodes, codec.confidence
    outcomes, setting = codec.outcomes, Setting(channel.receiver, channel, episodes)
    makers: dict[str, Callable[[], Any]] = {
        "similarity": lambda: to_data(similarity(channel, episodes)),
        "episodes": lambda: by_episode(outcomes, setting, confidence, evaluating("conditions")),
        "nearest": lambda: nearest_tokens(channel, episodes),
        "norms": lambda: norm_ratios(channel, episodes),
        "probe": lambda: probe(channel, codec.drawn(codec.probed), confidence, evaluating("probe")),
        "noise": lambda: noise_sweep(outcomes, setting, confidence, evaluating("noise")),
        "scale": lambda: confirm_scale(
            channel, episodes, codec.drawn(codec.n, 1), sweep, outcomes, evaluating("scale")
        ),
    }
    if setting.of_caches:
        # a position's keys and values are no embedding
        del makers["nearest"], makers["norms"]
        makers["layers"] = lambda: by_layer(outcomes, setting, confidence, evaluating("layers"))
    if codec.oracle is not None:
        n, steps = codec.oracle
        makers["oracle"] = lambda: cram(
            outcomes, codec.drawn(n), channel.k, steps, confidence, evaluating("oracle")
        )
    parts, failed = {}, {}
    for name, make in makers.items():
        try:
            parts[name] = make()
        except (RunError, ValueError, ArithmeticError, LookupError, RuntimeError) as error:
            failed[name] = " ".join(f"{type(error).__name__}: {error}".split())[:300]
            tell(f"{name} cannot be measured: {failed[name]}")
    reading = [asdict(sentence) for sentence in sentences(parts)]
    return {"parts": parts, "failed": failed, "reading": reading}


@torch.no_grad()
def nearest_tokens(channel: Channel, episodes: EpisodeSet) -> list[dict[str, Any]]:
    """Return the `NEAREST` tokens of each latent of the first episodes, by cosine.

    A latent of zeros has none.
    """
    receiver = channel.receiver
    first = episodes.episodes[:SHOWN]
    prefixes = channel.stacked_by_episode(first)
    directions = normalize(prefixes.float().to(receiver.device), dim=-1)
    cosines = [directions @ normalize(rows, dim=1).T for rows in receiver.embedded_tokens()]
    shown = []
    for episode, own in zip(first, torch.cat(cosines, dim=-1).cpu(), strict=True):
        latents = [_nearest(latent) for latent in own]
        named = [
            [{"token": receiver.text([token]), "cosine": cosine} for token, cosine in latent]
            for latent in latents
        ]
        shown.append({"seed": episode.seed, "message": episode.message, "latents": named})
    return shown


def _nearest(cosines: Tensor) -> list[tuple[int, float]]:
    if not bool(cosines.any()):
        return []
    found = cosines.topk(min(NEAREST, len(cosines)))
    return [
        (int(token), round(float(cosine), 4))
        for cosine, token in zip(found.values, found.indices, strict=True)
    ]


def norm_ratios(channel: Channel, episodes: EpisodeSet) -> dict[str, Any]:
    """Return latents' norms divided by the mean norm of the embedding table's rows."""
    prefixes = channel.stacked_by_episode(episodes.episodes).double().cpu()
    ratios = prefixes.norm(dim=2) / channel.receiver.mean_embedding_norm
    return {
        "mean": round(float(ratios.mean()), 4),
        "lowest": round(float(ratios.min()), 4),
        "highest": round(float(ratios.max()), 4),
        "by_latent": [round(value, 4) for value in ratios.mean(0).tolist()],
    }
