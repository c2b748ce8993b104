"""What the numbers say, in plain words: one sentence each, with its number and threshold.

The thresholds choose words, no verdict: docs/diagnose.md lists them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

ALIKE = 0.95
"""Mean cosine from which prefixes of different messages count as nearly the same."""
PROBE_P = 0.05
"""Largest p of the probe's control that counts as above chance."""
SHORT, LONG = 0.33, 3.0
"""Norm ratios beyond which latents are told to be far from the embedding table's."""
TENDER = 0.25
"""The size of noise at which a loss is told."""
CRAMMED = 0.9
"""Success from which, by its interval's lower end, the oracle is said to pass."""


@dataclass(frozen=True)
class Sentence:
    """What is said, and the number, by its place in diagnose.json, that says it."""

    text: str
    number: str
    value: float
    threshold: str

    def to_dict(self) -> dict[str, Any]:
        """As JSON-able values."""
        return asdict(self)


def sentences(parts: Mapping[str, Any]) -> list[Sentence]:
    """Read the parts that were measured; what failed, or was not asked for, says nothing."""
    found = [*_text(parts), *_alike(parts), *_shuffle(parts), *_probe(parts), *_reversed(parts)]
    found += [*_norm(parts), *_noise(parts), *_scale(parts), *_oracle(parts)]
    return [*_magic(parts), *found]


def _magic(parts: Mapping[str, Any]) -> Iterator[Sentence]:
    """All three together: alike, no worse shuffled, and nothing to be read off."""
    if any(name not in parts for name in ("similarity", "episodes", "probe")):
        return
    cosine = parts["similarity"]["between"]
    if cosine is None or cosine < ALIKE or _helps(parts) or _above_chance(parts["probe"]):
        return
    yield Sentence(
        f"magic prompt: prefixes of different messages have cosine {cosine:.2f}; shuffle is as "
        "good as normal; latents do not tell messages apart (probe at chance)",
        "parts.similarity.between",
        cosine,
        f">= {ALIKE}, and the two below",
    )


def _text(parts: Mapping[str, Any]) -> Iterator[Sentence]:
    if "episodes" not in parts:
        return
    found = parts["episodes"]["differences"]["p1 - p0"]
    low, high = found["interval"]
    if low > 0:
        said = "the receiver reads the message as text"
    else:
        said = "text is not seen to help: look at task and receiver before the codec"
    yield Sentence(
        f"{said}: p1 - p0 = {_signed(found)} [{low:+.2f}, {high:+.2f}]",
        "parts.episodes.differences.p1 - p0",
        found["difference"],
        "interval above 0",
    )


def _alike(parts: Mapping[str, Any]) -> Iterator[Sentence]:
    cosine = parts["similarity"]["between"] if "similarity" in parts else None
    if cosine is None:
        return
    said = "nearly the same" if cosine >= ALIKE else "not all the same"
    yield Sentence(
        f"prefixes of different messages are {said}: mean cosine {cosine:.2f}",
        "parts.similarity.between",
        cosine,
        f">= {ALIKE}",
    )


def _shuffle(parts: Mapping[str, Any]) -> Iterator[Sentence]:
    if "episodes" not in parts:
        return
    found = parts["episodes"]["differences"]["normal - shuffle"]
    low, high = found["interval"]
    if low > 0:
        said = "the right message does better than another one"
    elif high < 0:
        said = "another message does better than the right one"
    else:
        said = "shuffle is as good as normal, as far as this can tell"
    yield Sentence(
        f"{said}: normal - shuffle = {_signed(found)} [{low:+.2f}, {high:+.2f}]",
        "parts.episodes.differences.normal - shuffle",
        found["difference"],
        "interval above 0",
    )


def _probe(parts: Mapping[str, Any]) -> Iterator[Sentence]:
    if "probe" not in parts:
        return
    found = parts["probe"]
    low, high = found["interval"]
    says = "tell" if _above_chance(found) else "do not tell"
    at = "above" if _above_chance(found) else "at"
    rate = found["successes"] / found["n"]
    yield Sentence(
        f"latents {says} messages apart (probe {at} chance): {rate:.2f} [{low:.2f}, {high:.2f}], "
        f"chance {found['chance']:.2f}, control {found['control']['mean']:.2f}",
        "parts.probe.p",
        found["p"],
        f"<= {PROBE_P}, and interval above chance",
    )


def _reversed(parts: Mapping[str, Any]) -> Iterator[Sentence]:
    if "episodes" not in parts:
        return
    found = parts["episodes"]["reversed"]
    whole = f"{found['reversed']} of {found['n']} episodes reverse (NLL shuffle < NLL normal)"
    if found["ties"]:
        whole += f", {found['ties']} tie"
    kinds = [
        f"{name} {one['kind']} ({one['reversed']} of {one['n']})"
        for name, rows in found["by"].items()
        for one in rows
        if one["interval"][0] > found["reversed"] / found["n"]
    ]
    if kinds:
        whole += f"; more than elsewhere with {', '.join(kinds)}"
    yield Sentence(
        whole,
        "parts.episodes.reversed",
        found["reversed"] / found["n"],
        "a kind is named where its interval is above the whole's share",
    )


def _norm(parts: Mapping[str, Any]) -> Iterator[Sentence]:
    if "norms" not in parts:
        return
    ratio = parts["norms"]["mean"]
    near = SHORT <= ratio <= LONG
    said = "about as long as embeddings" if near else "of another length than embeddings"
    yield Sentence(
        f"latents are {said}: norm ratio {ratio:.2f}",
        "parts.norms.mean",
        ratio,
        f"{SHORT} to {LONG}",
    )


def _noise(parts: Mapping[str, Any]) -> Iterator[Sentence]:
    one = next((one for one in parts.get("noise", ()) if one["size"] == TENDER), None)
    if one is None:
        return
    low, high = one["change"]["interval"]
    said = "costs success" if high < 0 else "is not seen to cost success"
    yield Sentence(
        f"noise of {TENDER} of the prefix's norm {said}: {_signed(one['change'])} "
        f"[{low:+.2f}, {high:+.2f}]",
        f"parts.noise[size={TENDER}].change",
        one["change"]["difference"],
        "interval below 0",
    )


def _scale(parts: Mapping[str, Any]) -> Iterator[Sentence]:
    if "scale" not in parts:
        return
    found = parts["scale"]
    if found["best"] == 1:
        yield Sentence("no scale does better than 1", "parts.scale.best", 1.0, "1 is the best")
        return
    low, high = found["gain"]["interval"]
    rates = found["swept"]["normal"]["successes"], found["fresh"]["normal"]["successes"]
    said = "is confirmed to beat scale 1" if low > 0 else "is not confirmed to beat scale 1"
    yield Sentence(
        f"the best scale, {found['best']:g}, {said}: {rates[0] / found['swept_n']:.2f} on the "
        f"episodes that chose it, {rates[1] / found['n']:.2f} on fresh ones; gain there "
        f"{_signed(found['gain'])} [{low:+.2f}, {high:+.2f}]",
        "parts.scale.gain",
        found["gain"]["difference"],
        "interval above 0",
    )


def _oracle(parts: Mapping[str, Any]) -> Iterator[Sentence]:
    if "oracle" not in parts:
        return
    found = parts["oracle"]
    low, high = found["oracle"]["interval"]
    rate = found["oracle"]["successes"] / found["n"]
    if low >= CRAMMED:
        said = "passes: injection and k suffice; what the codec lacks, its encoder lacks"
    elif high < CRAMMED:
        said = "fails: look at task, receiver, injection or k (or give it more steps)"
    else:
        said = "is not decided: give it more episodes (--oracle-n)"
    yield Sentence(
        f"the oracle {said}: success {rate:.2f} [{low:.2f}, {high:.2f}]. Vectors free to force an "
        "answer need no message: this is no sign that B reads one",
        "parts.oracle.oracle",
        rate,
        f"lower end >= {CRAMMED} passes, upper end < {CRAMMED} fails",
    )


def _helps(parts: Mapping[str, Any]) -> bool:
    return bool(parts["episodes"]["differences"]["normal - shuffle"]["interval"][0] > 0)


def _above_chance(found: Mapping[str, Any]) -> bool:
    return bool(found["p"] <= PROBE_P and found["interval"][0] > found["chance"])


def _signed(found: Mapping[str, Any]) -> str:
    return f"{found['difference']:+.2f}"
