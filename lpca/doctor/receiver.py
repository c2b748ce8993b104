"""How a receiver is read: what its configuration tells, and what its self-test has found."""

from __future__ import annotations

from collections.abc import Iterator

from lpca.base.numbers import plural
from lpca.doctor import Finding, Section

LONGEST = 8192
"""Where reading switches behind that many tokens, a run whose prompts go there tries it."""


def receiver_section(name: str, **how: str) -> Section:
    """Load a receiver, and let each length be tried at which it is known to read otherwise.

    Args:
        name, how: as for `load_receiver`.

    Raises:
        RequestError: it cannot be loaded, or is not read exactly.
        ReceiverError: its weights cannot be fetched.
    """
    from lpca.receivers.load import load_receiver
    from lpca.receivers.model import Receiver
    from lpca.receivers.self_test import known_lengths, prove_upto

    receiver: Receiver = load_receiver(name, **how)
    proof = receiver.proof
    for length in known_lengths(receiver):
        if length <= LONGEST and proof.limit is None:
            prove_upto(receiver, length)

    def findings() -> Iterator[Finding]:
        model, facts = type(receiver.model).__name__, receiver.facts
        yield Finding(f"{'model':24} {model}; {', '.join(list(facts.values())[1:])}")
        for feature in proof.features:
            switches = "" if feature.length is None else f"; longer rows than {feature.length}"
            yield Finding(f"{'feature':24} {feature}{switches}")
        how = f"row by row, which is slower: {proof.batched}" if proof.plain else "in batches"
        yield Finding(f"{'read':24} {how}")
        for one in proof.measured:
            text = f"within {one.worst:.1g} nats (allowed {one.allowed:.1g})"
            yield Finding(f"{one.part:24} {text}, rows of {one.length} tokens")
        upto = f"rows of up to {plural(proof.tested, 'token')}"
        if proof.limit is None:
            yield Finding(f"{'exact':24} {upto} were tried; a run tries its own longest prompt")
        else:
            yield Finding(f"{'exact':24} {upto}; longer ones are refused: {proof.why}")

    return Section(f"receiver {name}", list(findings()))
