"""The validity checks by name; `lpca.validity` carries them out. Importable without torch."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Check:
    """One validity check.

    `needs` are the conditions that must have been evaluated for it to apply, `after` the checks
    without which what it reads means nothing: where one of them fails, it does not apply.
    """

    id: str
    title: str
    needs: tuple[str, ...] = ()
    after: tuple[str, ...] = ()


@dataclass(frozen=True)
class CheckResult:
    """One check's outcome; `passed` is None where it does not apply, as `detail` then says."""

    id: str
    title: str
    passed: bool | None
    detail: str


_TRACED = ("outcomes_traced",)

CHECKS: tuple[Check, ...] = (
    Check("receiver_frozen", "the receiver is as it was loaded"),
    Check("episodes_complete", "every declared episode counts, once"),
    Check("splits_disjoint", "no test episode or message was trained on"),
    Check("position_balanced", "the right option stands everywhere equally often"),
    Check("no_answer_outside_options", "B's text gives neither answer nor message away"),
    Check(
        "form_gives_no_answer",
        "the form of B's prompt does not give the answer away",
        after=("no_answer_outside_options",),
    ),
    Check("donors_deranged", "every shuffled message contradicts its episode", ("shuffle",)),
    Check("slow_path_agrees", "computed alone, without cache or batch, B does the same"),
    Check(
        "outcomes_traced",
        "every outcome is a model call that can be repeated",
        after=("slow_path_agrees",),
    ),
    Check("prompt_is_p0s", "B's prompt is p0's but for the slot", ("p0",), _TRACED),
    Check("text_is_message", "text is the message, p5 its facts, in p0's prompt", (), _TRACED),
    Check("prompt_ignores_message", "another message changes nothing around the slot", ("p0",)),
    Check(
        "latents_injected", "normal is what the codec makes of the message", ("normal",), _TRACED
    ),
    Check(
        "shuffle_is_donors", "shuffle is what the codec makes of another's", ("shuffle",), _TRACED
    ),
    Check("prefix_used", "B's answer depends on the injected vectors", ("normal", "random")),
    Check("null_is_zero", "null is exactly zero", ("null",), _TRACED),
    Check("random_has_norms", "random has each latent's own norm", ("random",), _TRACED),
    Check("random_is_noise", "random has nothing else of the latents", ("normal", "random")),
    Check(
        "static_is_static", "static is one prefix, trained as the codec was", ("static",), _TRACED
    ),
    Check(
        "mean_is_mean",
        "mean is the mean latent of training messages",
        ("mean",),
        ("splits_disjoint", *_TRACED),
    ),
    Check(
        "same_answer_agrees",
        "same_answer is the same answer in other words",
        ("same_answer",),
        _TRACED,
    ),
    Check("encoding_repeatable", "a message's latents are the same every time", ("normal",)),
    Check(
        "plumbing_logits",
        "injected embeddings of the message give its text's logits",
        ("p1", "embed"),
    ),
    Check(
        "numbers_reported",
        "every condition reports success, interval, bits, tokens and time",
        after=_TRACED,
    ),
    Check("ledger_intact", "the ledger of looks is as it was written", ("normal",)),
    Check(
        "checkpoints_accounted", "the codec is no best of several", ("normal",), ("ledger_intact",)
    ),
    Check(
        "looks_accounted",
        "the outcomes were not read until they pleased",
        ("normal",),
        ("ledger_intact",),
    ),
)
"""Every check, in the order they are run and shown."""
