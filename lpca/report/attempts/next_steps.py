"""What follows from a verdict, mechanically: nothing here is known beyond the evidence."""

from __future__ import annotations

from collections.abc import Iterator

from lpca.evidence import CriterionResult, Evidence
from lpca.report.markdown import plain
from lpca.stats import Verdict

FRESH = (
    "Whatever is changed, choose it on validation episodes and judge it on a fresh `seed:`; these "
    "test episodes have been seen."
)
_BY_PAIR = {
    frozenset({"normal", "shuffle"}): (
        "the receiver does as well with another message: train so that a wrong message costs "
        "(contrast the right answer's likelihood against other messages of the batch)"
    ),
    frozenset({"shuffle", "p0"}): (
        "a contradicting message does not mislead: the receiver does not read the latents' content"
    ),
    frozenset({"normal", "static"}): (
        "one trained prefix that never sees a message does as well: what helps is not the message"
    ),
    frozenset({"normal", "null"}): (
        "zeros do as well: look whether training lowered the loss, and at each latent's norm"
    ),
    frozenset({"normal", "p0"}): (
        "no message does as well: look whether training lowered the loss, then try a larger k"
    ),
    frozenset({"normal", "p1"}): (
        "the text does better: the codec loses what the receiver needs; try a larger k"
    ),
    frozenset({"embed", "p1"}): (
        "the injection path changes the message's own embeddings: mend it before anything else"
    ),
    frozenset({"null", "p0"}): "k zero vectors change the receiver's answers by themselves",
    frozenset({"random", "p0"}): "noise of the latents' size changes the receiver's answers",
}
_OF_THE_LEDGER = ("checkpoints_accounted", "looks_accounted")


def next_steps(evidence: Evidence) -> list[str]:
    """Return the steps as Markdown, one line each."""
    steps = {
        Verdict.PASS: _after_pass,
        Verdict.FAIL: _after_fail,
        Verdict.INCONCLUSIVE: _after_fail,
        Verdict.INVALID: _after_invalid,
        Verdict.NOT_MEASURED: _after_not_measured,
    }
    return list(steps[evidence.verdict](evidence))


def _after_pass(evidence: Evidence) -> Iterator[str]:
    if evidence.codec is None:
        yield "Replicate on a fresh `seed:`."
    else:
        yield "Replicate: this codec on a fresh `seed:`; and one of another training seed."
    yield (f"Try another receiver: this says nothing beyond {plain(evidence.receiver.name)}.")
    if evidence.answers == "seen":
        yield "Gate on unseen answers too: these were all named in training."
    for name in evidence.shown_with:
        yield f"Read `{name}`, which ran beside it, and record it: it sets no exit code."


def _after_fail(evidence: Evidence) -> Iterator[str]:
    for one in evidence.criteria:
        if one.verdict is Verdict.FAIL:
            yield f"`{one.id}` is contradicted: {_advice(one)}."
    for one in evidence.criteria:
        if one.verdict is Verdict.INCONCLUSIVE:
            yield f"`{one.id}` is undecided: {_more_episodes(one.needed_n)}."
    yield FRESH


def _advice(result: CriterionResult) -> str:
    otherwise = "its claim does not hold here; the decision log has the numbers"
    return _BY_PAIR.get(frozenset(result.claim.conditions), otherwise)


def _more_episodes(needed: int | None) -> str:
    if needed is None:
        return "no number of episodes is likely to show it at the observed rates"
    return (
        f"declare n = {needed} (power 0.8 at the observed rates) on a fresh `seed:`, or a "
        "`sequential:` rule; adding episodes to these until it passes is a look too many"
    )


def _after_invalid(evidence: Evidence) -> Iterator[str]:
    for check in evidence.failed_checks:
        if check.id in _OF_THE_LEDGER:
            yield f"`{check.id}`: judge the one that was chosen on a fresh `seed:`, once."
        else:
            yield f"Mend `{check.id}` ({plain(check.title)}): {plain(check.detail)}."
    for required in evidence.required:
        if required.verdict is not Verdict.PASS:
            failing = [one for one in required.criteria if one.verdict is not Verdict.PASS]
            names = ", ".join(f"`{one.id}`" for one in failing) or "its own requirements"
            yield (
                f"`{required.name}` is {required.verdict} ({names}): until task and receiver "
                "pass it, nothing about the channel can be read."
            )
    yield "Then run it again. Until it is valid, none of its numbers is a result."


def _after_not_measured(evidence: Evidence) -> Iterator[str]:
    for reason in evidence.reasons:
        yield f"Measure what is missing: {plain(reason)}."
    yield "Run the whole gate: a gate with a criterion left out has no verdict."
