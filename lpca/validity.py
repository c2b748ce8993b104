"""The validity checks by name; `lpca.leaks` carries them out. Importable without torch."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Check:
    """One validity check and the conditions that must have been evaluated for it to apply."""

    id: str
    title: str
    needs: tuple[str, ...] = ()


@dataclass(frozen=True)
class CheckResult:
    """One check's outcome; `passed` is None where its conditions were not evaluated."""

    id: str
    title: str
    passed: bool | None
    detail: str


CHECKS: tuple[Check, ...] = (
    Check("prompt_is_p0s", "B's prompt is p0's but for k injected positions", ("p0",)),
    Check("prompt_ignores_message", "another message changes nothing around the slot", ("p1",)),
    Check("no_answer_outside_options", "B's text gives neither answer nor message away"),
    Check("position_balanced", "the right option stands everywhere equally often"),
    Check("prefix_used", "B's answer depends on the injected vectors", ("normal", "random")),
    Check("null_is_zero", "null is exactly zero", ("null",)),
    Check(
        "donors_deranged", "every shuffled message contradicts its episode", ("normal", "shuffle")
    ),
    Check("encoding_repeatable", "a message's latents are the same every time", ("normal",)),
    Check("random_has_norms", "random has each latent's own norm", ("normal", "random")),
    Check(
        "plumbing_logits",
        "injected embeddings of the message give its text's logits",
        ("p1", "embed"),
    ),
    Check("outcomes_traced", "every outcome is a model call that can be repeated"),
    Check("receiver_frozen", "the receiver is as it was loaded"),
    Check("splits_disjoint", "no test episode was trained on"),
)
"""Every check, in the order they are shown."""
