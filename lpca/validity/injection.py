"""Is what was injected under each condition what that condition is?"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import zip_longest

import torch
from scipy.stats import chi2
from torch import Tensor

from lpca.receivers.observed_input import vectors_hash
from lpca.validity.audit import Audit, Leak

LUCK = 1e-8
"""Probability up to which noise may be like the latents by chance."""


def latents_injected(audit: Audit) -> str:
    """Under normal B got the codec's prefix of this episode's message."""
    messages = [episode.message for episode in audit.episodes]
    _compare(audit, "normal", audit.setting.coded().prefixes(messages), "the codec's own")
    return f"{len(messages)} prefixes: each is the codec's, of the episode's own message"


def shuffle_is_donors(audit: Audit) -> str:
    """Under shuffle B got the codec's prefix of the donor's message."""
    episodes = audit.setting.episodes
    messages = [episodes.donor(i).message for i in range(len(episodes))]
    _compare(audit, "shuffle", audit.setting.coded().prefixes(messages), "those of its donor")
    return f"{len(messages)} prefixes: each is the codec's, of the donor's message"


def same_answer_agrees(audit: Audit) -> str:
    """Under same_answer B got the prefix of another message that names the same option only."""
    for episode in audit.episodes:
        if episode.paraphrase == episode.message:
            raise Leak(f"episode {episode.seed}: the paraphrase is the message itself")
        if _named(episode.message, episode.options) != _named(episode.paraphrase, episode.options):
            raise Leak(
                f"episode {episode.seed}: the paraphrase does not name what the message does"
            )
    messages = [episode.paraphrase for episode in audit.episodes]
    prefixes = audit.setting.coded().prefixes(messages)
    _compare(audit, "same_answer", prefixes, "those of the paraphrase")
    return f"{len(messages)} prefixes: each is the codec's, of the same answer in other words"


def null_is_zero(audit: Audit) -> str:
    """Under null B got k vectors of norm zero."""
    for record in audit.records["null"]:
        norms = record.given.norms
        if len(norms) != audit.k or any(norm != 0.0 for norm in norms):
            raise Leak(f"episode {record.seed}: null's vectors have norms {list(norms)}")
    return f"{len(audit.records['null'])} x {audit.k} vectors, all exactly zero"


def random_has_norms(audit: Audit) -> str:
    """Under random every vector has the norm of the latent in its place."""
    loose = 1e-3 if audit.is_exact else 2e-2
    prefixes = audit.setting.coded().prefixes([episode.message for episode in audit.episodes])
    for noise, prefix in zip(audit.records["random"], prefixes, strict=True):
        pairs = zip_longest(noise.given.norms, prefix.norm(dim=1).tolist(), fillvalue=-1.0)
        if any(abs(a - b) > loose * max(b, 1e-6) for a, b in pairs):
            raise Leak(f"episode {noise.seed}: random's norms are not the latents' own")
    return f"{len(audit.records['random'])} episodes: each vector has its latent's norm"


def random_is_noise(audit: Audit) -> str:
    """Random's vectors are neither alike in direction to any latents nor made of their values."""
    noise = _unit(audit, "random")
    count, width = noise.shape[0], noise.shape[2]
    # A squared cosine with noise has mean 1/width; chi-squared/width bounds its tail.
    most = float(chi2.isf(LUCK, count)) / count / width
    closest = 0.0
    for condition in audit.injected():
        if condition in ("random", "null"):
            continue
        latent = _unit(audit, condition)
        alike = float((noise @ latent.transpose(1, 2)).square().mean(0).max())
        closest = max(closest, alike)
        if alike > most:
            raise Leak(
                f"random points where {condition} does: mean squared cosine {alike:.2g}, of noise "
                f"below {most:.2g}"
            )
        if _same_values(noise, latent):
            raise Leak(f"random holds {condition}'s own values in another order")
    return f"{count} episodes: mean squared cosine with any latents at most {closest:.2g}"


def _same_values(one: Tensor, other: Tensor) -> bool:
    apart = (one.abs().sort(-1).values - other.abs().sort(-1).values).abs().amax(-1)
    return bool((apart.le(1e-6) & one.norm(dim=-1).gt(0.0)).any())


def static_is_static(audit: Audit) -> str:
    """Under static all episodes got one prefix, trained as long as the codec was."""
    hashes = {record.given.sha256 for record in audit.records["static"]}
    if len(hashes) > 1:
        raise Leak(f"static injected {len(hashes)} different prefixes: it sees the message")
    own, control = audit.trained, audit.static_trained
    if own is not None and control is not None:
        for name in ("receiver", "k", "budget"):
            mine, theirs = getattr(own, name), getattr(control, name)
            if mine != theirs:
                raise Leak(f"static was trained with another {name}: {theirs}, the codec {mine}")
    episodes = f"{len(audit.records['static'])} episodes: one prefix"
    if audit.own is not None:
        return f"{episodes}, trained as lpca trains by default; how long the codec was is unknown"
    return f"{episodes}, trained with the codec's budget"


def mean_is_mean(audit: Audit) -> str:
    """Under mean all episodes got the codec's prefix of the mean latent of training messages."""
    tested = {episode.message for episode in audit.episodes}
    if shared := tested & set(audit.setting.typical):
        raise Leak(f"the mean is taken over a test message: {min(shared)!r}")
    prefix = audit.setting.coded().mean_prefix(audit.setting.typical)
    _compare(audit, "mean", [prefix] * len(audit.episodes), "the mean latent")
    return (
        f"{len(audit.episodes)} episodes: the mean latent of {len(audit.setting.typical)} messages"
    )


def _named(text: str, options: Sequence[str]) -> list[str]:
    return [option for option in options if option in text]


def _compare(audit: Audit, condition: str, prefixes: Sequence[Tensor], whose: str) -> None:
    for record, prefix in zip(audit.records[condition], prefixes, strict=True):
        if record.given.sha256 != vectors_hash(prefix.to(audit.receiver.embedding.weight)):
            raise Leak(f"episode {record.seed}: {condition}'s vectors are not {whose}")


def _unit(audit: Audit, condition: str) -> Tensor:
    rows = []
    for slot in audit.slots(condition, audit.sample):
        if len(slot) < audit.k or slot.vectors is None:
            raise Leak(f"fewer than {audit.k} vectors are injected under {condition}")
        vectors = slot.vectors[: audit.k].detach().float().cpu()
        rows.append(vectors / vectors.norm(dim=-1, keepdim=True).clamp(min=1e-12))
    return torch.stack(rows)
