"""A diagnosis as text: sentences first, then tables."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any


def summary(found: Mapping[str, Any]) -> Iterator[str]:
    """What the numbers say, and each condition, kind, size and latent in lines of text."""
    yield "What to look at (no verdict; thresholds in docs/diagnose.md):"
    for one in found["reading"]:
        yield f"- {one['text']}"
        yield f"    ({one['number']}; threshold: {one['threshold']})"
    for name, why in found["failed"].items():
        yield f"- {name}: not measured: {why}"
    parts = found["parts"]
    for name, table in _TABLES.items():
        if name in parts:
            yield from ("", *table(parts[name]))


def cell(one: Mapping[str, Any], n: int) -> str:
    """A rate with its interval and the NLL."""
    low, high = one["interval"]
    return f"{one['successes'] / n:>7.1%}  [{low:.3f},{high:.3f}]{one['nll']:>8.2f}"


def _conditions(part: Mapping[str, Any]) -> Iterator[str]:
    yield f"{'condition':<26}{'success':>9}{'interval':>15}{'nats':>8}"
    for name, one in part["conditions"].items():
        yield f"{name:<26}{cell(one, part['n'])}"
    yield ""
    yield f"{'reversed episodes':<34}{'count':>9}{'interval':>17}"
    whole = part["reversed"]
    yield _kind("all", whole)
    for name, kinds in whole["by"].items():
        yield from (_kind(f"{name}: {one['kind']}", one) for one in kinds)


def _kind(name: str, one: Mapping[str, Any]) -> str:
    low, high = one["interval"]
    return f"{name:<34}{one['reversed']:>4} of {one['n']:<4}[{low:.3f},{high:.3f}]"


def _nearest(part: list[dict[str, Any]]) -> Iterator[str]:
    yield "nearest tokens of each latent, with cosine"
    for one in part:
        yield f"  {one['message'][:90]!r}"
        for at, latent in enumerate(one["latents"], 1):
            near = [f"{token['token'][:20]!r} {token['cosine']:.2f}" for token in latent]
            yield f"    {at}: {', '.join(near) or 'none: all zeros'}"


def _noise(part: list[dict[str, Any]]) -> Iterator[str]:
    yield f"{'noise / prefix norm':<26}{'success':>9}{'interval':>15}{'nats':>8}"
    for one in part:
        low, high = one["interval"]
        rate = one["successes"] / one["n"]
        yield f"{one['size']:<26g}{rate:>7.1%}  [{low:.3f},{high:.3f}]{one['nll']:>8.2f}"


_TABLES: Mapping[str, Callable[[Any], Iterator[str]]] = {
    "episodes": _conditions,
    "noise": _noise,
    "nearest": _nearest,
}
