"""What B was given, as text for people: every injected vector is marked as one."""

from __future__ import annotations

from itertools import groupby

from lpca.receivers.model import Receiver
from lpca.receivers.observed_input import INJECTED, Given


def as_text(receiver: Receiver, given: Given) -> str:
    """Return a prompt with its special tokens; what came in as vectors stands between ⟦ and ⟧.

    A vector that is no token's embedding is shown by its place and norm, others by their tokens.
    """
    injected = len(given.norms)
    before = _tokens(receiver, given.ids[: given.start])
    slot = given.ids[given.start : given.start + injected]
    after = _tokens(receiver, given.ids[given.start + injected :])
    return before + _vectors(receiver, slot, given.norms) + after


def _tokens(receiver: Receiver, ids: tuple[int, ...]) -> str:
    """Decode ids; a vector where only tokens belong is shown all the same."""
    runs = groupby(ids, lambda token: token == INJECTED)
    return "".join(
        "⟦vector⟧" * len(list(run)) if strange else receiver.text(list(run))
        for strange, run in runs
    )


def _vectors(receiver: Receiver, ids: tuple[int, ...], norms: tuple[float, ...]) -> str:
    # zeros are zeros, also where they are some padding token's embedding
    ids = tuple(INJECTED if norm == 0.0 else token for token, norm in zip(ids, norms, strict=True))
    if INJECTED not in ids:
        return f"⟦embedded:{receiver.text(ids)}⟧" if ids else ""
    return "".join(
        f"⟦vector {place} of {len(ids)}, norm {norm:.3f}⟧"
        if token == INJECTED
        else f"⟦vector {place} of {len(ids)}, the embedding of {receiver.text([token])!r}⟧"
        for place, (token, norm) in enumerate(zip(ids, norms, strict=True), start=1)
    )
