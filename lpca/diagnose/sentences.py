"""A diagnosis in plain words: sentences, each with its number and threshold, then tables.

The thresholds choose words, no verdict: docs/diagnose.md lists them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from lpca.base.numbers import PERCENT, number

ALIKE = 0.95
"""Mean cosine from which prefixes of different messages count as nearly the same."""
PROBE_P = 0.05
"""Largest p of the probe's control that counts as above chance."""
SHORT, LONG = 0.33, 3.0
"""Norm ratios beyond which latents are told to be far from the embedding table's."""
TOLD_NOISE = 0.25
"""The size of noise at which a loss is told."""
ORACLE_PASSES = 0.9
"""Success from which, by its interval's lower end, the oracle is said to pass."""

Part = Any


@dataclass(frozen=True)
class Sentence:
    """What is said, and the number, by its place in diagnose.json, that says it."""

    text: str
    number: str
    value: float
    threshold: str


def sentences(parts: Mapping[str, Any]) -> list[Sentence]:
    """Read the parts that were measured; what failed, or was not asked for, says nothing."""
    found = []
    for say, names in _SAID:
        if all(name in parts for name in names):
            sentence = say(*(parts[name] for name in names))
            found += [sentence] if sentence else []
    return found


def summary(found: Mapping[str, Any]) -> Iterator[str]:
    """What the numbers say, and each condition, kind, size and latent in lines of text."""
    yield "What to look at (no verdict; thresholds in docs/diagnose.md):"
    for sentence in found["reading"]:
        yield f"- {sentence['text']}"
        yield f"    ({sentence['number']}; threshold: {sentence['threshold']})"
    for name, why in found["failed"].items():
        yield f"- {name}: not measured: {why}"
    for name, table in _TABLES.items():
        if name in found["parts"]:
            yield from ("", *table(found["parts"][name]))


def cell(one: Mapping[str, Any], n: int) -> str:
    """A rate with its interval and the NLL."""
    low, high = one["interval"]
    rate = number(one["successes"] / n, PERCENT, column=True)
    return f"{rate:>6}%  [{low:.3f},{high:.3f}]{one['nll']:>8.2f}"


def sweep_table(sweep: Mapping[str, Any]) -> Iterator[str]:
    """Success and NLL at each scale of the prefix, in lines of text."""
    n = sweep["n"]
    yield (
        f"{sweep['checkpoint']}, k={sweep['k']}, receiver {sweep['receiver']['name']}: prefix "
        f"norm {sweep['norm_ratio']:.2f} of an embedding's"
    )
    yield f"{n} validation episodes, answers {sweep['answers']}"
    yield ""
    yield f"{'':<8}{'normal':>22}{'nats':>8}{'shuffle':>22}{'nats':>8}"
    for name, one in sweep["references"].items():
        yield f"{name:<8}{cell(one, n)}"
    for scale in sweep["scales"]:
        yield f"x {scale['scale']:<6g}{cell(scale['normal'], n)}{cell(scale['shuffle'], n)}"
    yield ""
    yield "nats: -log p of the right answer. No verdict: a scale picked here looks better than it"
    yield "is. To gate it, declare best_of with a confirm_seed: fresh test episodes decide."


def _magic(similarity: Part, episodes: Part, probe: Part) -> Sentence | None:
    """All three together: alike, no worse shuffled, and nothing to be read off."""
    cosine = similarity["between"]
    helps = episodes["differences"]["normal - shuffle"]["interval"][0] > 0
    if cosine is None or cosine < ALIKE or helps or _above_chance(probe):
        return None
    return Sentence(
        f"magic prompt: prefixes of different messages have cosine {cosine:.2f}; shuffle is as "
        "good as normal; latents do not tell messages apart (probe at chance)",
        "parts.similarity.between",
        cosine,
        f">= {ALIKE}, and the two below",
    )


def _text(episodes: Part) -> Sentence:
    return _difference(
        episodes,
        "p1 - p0",
        above="the receiver reads the message as text",
        else_="text is not seen to help: look at task and receiver before the codec",
    )


def _alike(similarity: Part) -> Sentence | None:
    cosine = similarity["between"]
    if cosine is None:
        return None
    said = "nearly the same" if cosine >= ALIKE else "not all the same"
    return Sentence(
        f"prefixes of different messages are {said}: mean cosine {cosine:.2f}",
        "parts.similarity.between",
        cosine,
        f">= {ALIKE}",
    )


def _shuffle(episodes: Part) -> Sentence:
    return _difference(
        episodes,
        "normal - shuffle",
        above="the right message does better than another one",
        below="another message does better than the right one",
        else_="shuffle is as good as normal, as far as this can tell",
    )


def _probe(probe: Part) -> Sentence:
    low, high = probe["interval"]
    says, at = ("tell", "above") if _above_chance(probe) else ("do not tell", "at")
    rate = probe["successes"] / probe["n"]
    return Sentence(
        f"latents {says} messages apart (probe {at} chance): {rate:.2f} [{low:.2f}, {high:.2f}], "
        f"chance {probe['chance']:.2f}, control {probe['control']['mean']:.2f}",
        "parts.probe.p",
        probe["p"],
        f"<= {PROBE_P}, and interval above chance",
    )


def _reversed(episodes: Part) -> Sentence:
    found = episodes["reversed"]
    share = found["reversed"] / found["n"]
    whole = f"{found['reversed']} of {found['n']} episodes reverse (NLL shuffle < NLL normal)"
    if found["ties"]:
        whole += f", {found['ties']} tie"
    kinds = [
        f"{name} {row['kind']} ({row['reversed']} of {row['n']})"
        for name, rows in found["by"].items()
        for row in rows
        if row["interval"][0] > share
    ]
    if kinds:
        whole += f"; more than elsewhere with {', '.join(kinds)}"
    threshold = "a kind is named where its interval is above the whole's share"
    return Sentence(whole, "parts.episodes.reversed", share, threshold)


def _norm(norms: Part) -> Sentence:
    ratio = norms["mean"]
    near = SHORT <= ratio <= LONG
    said = "about as long as embeddings" if near else "of another length than embeddings"
    text = f"latents are {said}: norm ratio {ratio:.2f}"
    return Sentence(text, "parts.norms.mean", ratio, f"{SHORT} to {LONG}")


def _noise(noise: Part) -> Sentence | None:
    change = next((one["change"] for one in noise if one["size"] == TOLD_NOISE), None)
    if change is None:
        return None
    said = _by_interval(change, below="costs success", else_="is not seen to cost success")
    return Sentence(
        f"noise of {TOLD_NOISE} of the prefix's norm {said}: {_signed(change)}",
        f"parts.noise[size={TOLD_NOISE}].change",
        change["difference"],
        "interval below 0",
    )


def _scale(scale: Part) -> Sentence:
    if scale["best"] == 1:
        return Sentence("no scale does better than 1", "parts.scale.best", 1.0, "1 is the best")
    rates = scale["swept"]["normal"]["successes"], scale["fresh"]["normal"]["successes"]
    said = _by_interval(
        scale["gain"],
        above="is confirmed to beat scale 1",
        else_="is not confirmed to beat scale 1",
    )
    return Sentence(
        f"the best scale, {scale['best']:g}, {said}: {rates[0] / scale['swept_n']:.2f} on the "
        f"episodes that chose it, {rates[1] / scale['n']:.2f} on fresh ones; gain there "
        f"{_signed(scale['gain'])}",
        "parts.scale.gain",
        scale["gain"]["difference"],
        "interval above 0",
    )


def _layers(layers: Part) -> Sentence | None:
    rows = [row for row in layers["layers"] if row["change"] is not None]
    if not rows:
        return None
    most = min(rows, key=lambda row: float(row["change"]["difference"]))
    best = max(rows, key=lambda row: float(row["gain"]["difference"]))
    said = _by_interval(most["change"], below="costs most", else_="costs most, if any,")
    gains = _by_interval(best["gain"], above="does best", else_="does best, if any,")
    return Sentence(
        f"of {len(rows)} layers, leaving out layer {most['layer']} {said}: "
        f"{_signed(most['change'])}; alone, layer {best['layer']} {gains}: over p0 "
        f"{_signed(best['gain'])}",
        f"parts.layers[layer={most['layer']}].change",
        most["change"]["difference"],
        "interval below 0, and above 0",
    )


def _oracle(oracle: Part) -> Sentence:
    low, high = oracle["oracle"]["interval"]
    rate = oracle["oracle"]["successes"] / oracle["n"]
    if low >= ORACLE_PASSES:
        said = "passes: injection and k suffice; what the codec lacks, its encoder lacks"
    elif high < ORACLE_PASSES:
        said = "fails: look at task, receiver, injection or k (or give it more steps)"
    else:
        said = "is not decided: give it more episodes (--oracle-n)"
    return Sentence(
        f"the oracle {said}: success {rate:.2f} [{low:.2f}, {high:.2f}]. Vectors free to force an "
        "answer need no message: this is no sign that B reads one",
        "parts.oracle.oracle",
        rate,
        f"lower end >= {ORACLE_PASSES} passes, upper end < {ORACLE_PASSES} fails",
    )


_SAID: tuple[tuple[Callable[..., Sentence | None], tuple[str, ...]], ...] = (
    (_magic, ("similarity", "episodes", "probe")),
    (_text, ("episodes",)),
    (_alike, ("similarity",)),
    (_shuffle, ("episodes",)),
    (_probe, ("probe",)),
    (_reversed, ("episodes",)),
    (_norm, ("norms",)),
    (_noise, ("noise",)),
    (_scale, ("scale",)),
    (_layers, ("layers",)),
    (_oracle, ("oracle",)),
)
"""Every sentence, with the parts that it reads; in the order in which they are said."""


def _by_interval(found: Part, else_: str, above: str = "", below: str = "") -> str:
    """What is said of a difference whose whole interval is above 0, below 0, or neither."""
    low, high = found["interval"]
    return above if above and low > 0 else below if below and high < 0 else else_


def _difference(episodes: Part, name: str, **said: str) -> Sentence:
    found = episodes["differences"][name]
    text = f"{_by_interval(found, **said)}: {name} = {_signed(found)}"
    number = f"parts.episodes.differences.{name}"
    return Sentence(text, number, found["difference"], "interval above 0")


def _above_chance(probe: Part) -> bool:
    return bool(probe["p"] <= PROBE_P and probe["interval"][0] > probe["chance"])


def _signed(found: Part) -> str:
    low, high = found["interval"]
    return f"{found['difference']:+.2f} [{low:+.2f}, {high:+.2f}]"


def _conditions(part: Part) -> Iterator[str]:
    yield f"{'condition':<26}{'success':>9}{'interval':>15}{'nats':>8}"
    for name, one in part["conditions"].items():
        yield f"{name:<26}{cell(one, part['n'])}"
    yield ""
    yield f"{'reversed episodes':<34}{'count':>9}{'interval':>17}"
    yield _kind("all", part["reversed"])
    for name, kinds in part["reversed"]["by"].items():
        yield from (_kind(f"{name}: {kind['kind']}", kind) for kind in kinds)


def _kind(name: str, one: Part) -> str:
    low, high = one["interval"]
    return f"{name:<34}{one['reversed']:>4} of {one['n']:<4}[{low:.3f},{high:.3f}]"


def _nearest(part: Part) -> Iterator[str]:
    yield "nearest tokens of each latent, with cosine"
    for one in part:
        yield f"  {one['message'][:90]!r}"
        for at, latent in enumerate(one["latents"], 1):
            near = [f"{token['token'][:20]!r} {token['cosine']:.2f}" for token in latent]
            yield f"    {at}: {', '.join(near) or 'none: all zeros'}"


def _noises(part: Part) -> Iterator[str]:
    yield f"{'noise / prefix norm':<26}{'success':>9}{'interval':>15}{'nats':>8}"
    for one in part:
        yield f"{one['size']:<26g}{cell(one, one['n'])}"


def _each_layer(part: Part) -> Iterator[str]:
    yield f"{'layer':<8}{'left out':>22}{'nats':>8}{'kept alone':>22}{'nats':>8}"
    for row in part["layers"]:
        without = cell(row["without"], part["n"]) if row["without"] else f"{'':<30}"
        yield f"{row['layer']:<8}{without}{cell(row['alone'], part['n'])}"


_TABLES: Mapping[str, Callable[[Part], Iterator[str]]] = {
    "episodes": _conditions,
    "noise": _noises,
    "layers": _each_layer,
    "nearest": _nearest,
}
