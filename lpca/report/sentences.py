"""Verdicts in plain words: what was asked, what came out, and what follows from it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from lpca.base.numbers import percent, points
from lpca.evidence.model import CriterionResult, Evidence, PacketFacts
from lpca.gatespec.claims import in_words
from lpca.gatespec.model import MESSAGE_LATENTS, TRUNCATED
from lpca.judge.decide import Needed, turned_by_rounding, undecided
from lpca.stats.claims import Band, Claim, Difference, Equivalence
from lpca.stats.truth import Truth
from lpca.stats.verdicts import Verdict

NOUNS = {
    "p0": "no message",
    "p1": "the message as text",
    "first_k": "the message cut to k tokens",
    "random_k": "a random choice of k of the message's tokens",
    "keywords_k": "a choice of the message's rarest words",
    "p5": "the facts as structured text",
    "embed": "the injected text",
    "alone": "the text's keys and values, computed without the prompt",
    "normal": "the codec's prefix",
    "null": "a prefix of zeros",
    "random": "noise of the same size",
    "shaped": "noise shaped like the codec's prefixes",
    "shuffle": "another message",
    **{f"shuffle_{sender}": f"another message of sender {sender}" for sender in range(1, 9)},
    "empty": "an empty message",
    "static": "a prefix that never sees a message",
    "mean": "the mean prefix",
    "same_answer": "the same answer in other words",
}
"""What B receives under a condition."""
UNCOMPRESSED = "n is at least the message's tokens: nothing is compressed"
NEARLY_ALL = 0.95
_CLOSINGS = {
    Verdict.PASS: "every claim of this gate holds on these episodes, and nothing beyond them is "
    "shown.",
    Verdict.FAIL: "at least one claim is shown not to hold, and the gate needs every one.",
    Verdict.INCONCLUSIVE: "this is not a failure: these episodes leave open whether every claim "
    "holds.",
    Verdict.INVALID: "this says nothing about the channel, neither for nor against it.",
    Verdict.NOT_MEASURED: "this says nothing about the channel, neither for nor against it; the "
    "whole gate has to be run.",
    Verdict.EXPLORED: "this decides nothing: validation episodes are there to choose on; what is "
    "chosen is judged on test episodes, without --split.",
}


FAR, BEYOND = 0.1, 1e-4
"""How far above luck p0 must be to be told, and how unlikely luck must be to come so far."""


def above_luck(evidence: Evidence) -> str:
    """What a reader should know where B answers without any message; empty where it guesses.

    Luck is what one guess for all episodes comes to: any option, or the answer that is right most
    often. No fault by itself, for texts may tell much (SQuAD's give 41 %); a gate that has a band
    for p0 decides.
    """
    # not scipy.stats: loading it takes longer than all of a report
    from scipy.special import bdtrc

    held = evidence.conditions.get("p0")
    options = [len(one.outcomes["p0"].scores) for one in evidence.episodes if "p0" in one.outcomes]
    if held is None or evidence.score == "graded" or not options or not all(options):
        return ""
    rights = Counter(
        e.options[e.right].casefold()
        for e in evidence.episodes
        if e.options and e.answer is not None
    )
    most = max(rights.values(), default=0) / len(options)
    luck = max(sum(1 / count for count in options) / len(options), most)
    successes, rate = held.under(evidence.score).successes, held.rate(evidence.score)
    if rate < luck + FAR or float(bdtrc(successes - 1, held.n, luck)) > BEYOND:
        return ""
    return (
        f"p0 is {percent(rate)} where luck is {percent(luck)}: without any message B's own text "
        "tells much of the answer, and a channel can add only the rest"
    )


def standing(verdict: Verdict, results: Sequence[CriterionResult]) -> str:
    """How many of a gate's criteria came to its verdict, and of those that only warn to PASS."""
    warning = [result for result in results if not result.decides]
    told = _standing(verdict, [result for result in results if result.decides])
    if not warning or verdict is Verdict.INVALID:
        return told
    held = sum(result.verdict is Verdict.PASS for result in warning)
    return f"{told}; {held} of {len(warning)} that only warn {'holds' if held == 1 else 'hold'}"


def packets(evidence: Evidence) -> str:
    """What crossed in the test's messages, and what follows; empty where evidence does not say."""
    held, codec = evidence.packets, evidence.codec
    if held is None:
        return ""
    positions, bits = (
        " to ".join(dict.fromkeys(f"{end:,.0f}" for end in ends))
        for ends in (held.positions, held.capacity)
    )
    told = f"packets: {held.kind}, {positions} positions, capacity {bits} bits"
    if held.by_length is not None:
        told += f", {held.by_length:,.3g} of them by n"
    if codec is not None and codec.bits is not None:
        told += (
            f"; {codec.bits:,.4g} bits declared, {held.distinct} different packets for "
            f"{held.messages} messages"
        )
    return f"{told}; {UNCOMPRESSED}" if is_uncompressed(held) else told


def checks_passed(evidence: Evidence, what: str = "validity checks") -> str:
    """How many of the validity checks that apply passed, and how many of them could not say."""
    applied, silent = evidence.applied_checks, evidence.silent_checks
    passed = len(applied) - len(evidence.failed_checks) - len(silent)
    told = f"{passed} of {len(applied)} {what} passed"
    return f"{told}; {len(silent)} could not say" if silent else told


def unsaid(evidence: Evidence) -> list[str]:
    """The checks that apply and could not say anything, each with the reason."""
    return [
        f"could not say: {one.title}: {one.detail} ({one.id})" for one in evidence.silent_checks
    ]


def is_uncompressed(held: PacketFacts) -> bool:
    """Whether packets have as many positions as their messages have tokens, or nearly all do."""
    return held.uncompressed >= NEARLY_ALL


def _standing(verdict: Verdict, results: Sequence[CriterionResult]) -> str:
    if verdict is Verdict.INVALID:
        return "no criterion is read"
    if verdict is Verdict.NOT_MEASURED:
        return "not everything it takes was measured"
    total = len(results)
    if verdict is Verdict.EXPLORED:
        held = sum(result.verdict is Verdict.PASS for result in results)
        return f"{held} of {total} criteria hold on these validation episodes"
    if verdict is Verdict.PASS:
        every = {1: "its criterion holds", 2: "both criteria hold"}
        return every.get(total, f"all {total} criteria hold")
    counts = {v: sum(result.verdict is v for result in results) for v in Verdict}
    what = {Verdict.FAIL: "not met", Verdict.INCONCLUSIVE: "not decided"}
    if total == 1:
        return f"its criterion is {what[verdict]}"
    told = [f"{counts[v]} {word}" for v, word in what.items() if counts[v]]
    return ", ".join(told).replace(" ", f" of {total} criteria ", 1)


def sentence(
    result: CriterionResult, rates: Mapping[str, float], others: Sequence[CriterionResult] = ()
) -> str:
    """What a criterion came to, with the observed rates, and for a FAIL what that means.

    `others` are the results of its gate: what a FAIL means may depend on them. A result that was
    not read says why.
    """
    if result.n is None:
        return result.message
    claim = result.claim

    def named(condition: str) -> str:
        return f"{condition} {percent(rates[condition])}" if condition in rates else condition

    if result.verdict is Verdict.PASS:
        return in_words(claim, named=named)
    if result.verdict is Verdict.FAIL:
        means = meaning(claim, others)
        return in_words(claim, holds=False, named=named) + (f": {means}" if means else "")
    if result.rounding is not None and result.rounding.decides:
        return turned_by_rounding(result.n, claim, result.rounding, named)
    groups = result.grouping.groups if result.grouping else None
    needed = Needed(result.needed_n, result.needed_groups)
    return undecided(result.n, groups, claim, needed, Truth(rates), named)


def grouped(results: Sequence[CriterionResult]) -> str:
    """What groups of episodes come to, for the claim on the codec that they weigh on most.

    Empty where each episode is a group of its own.
    """
    found = [
        (any(name in MESSAGE_LATENTS for name in one.claim.conditions), one.grouping, one)
        for one in results
        if one.grouping is not None and one.n is not None and one.grouping.groups < one.n
    ]
    if not found:
        return ""
    _, grouping, result = max(found, key=lambda item: (item[0], item[1].design_effect))
    answers = round(grouping.effective * grouping.design_effect)
    told = f"{result.n} episodes"
    if result.n is not None and answers > result.n:
        told = f"{answers} answers of {told}"
    return (
        f"{told} in {grouping.groups} groups count as {grouping.effective:.0f} "
        f"({result.id}: ICC {grouping.icc:.2f}, design effect {grouping.design_effect:.1f})"
    )


def meaning(claim: Claim, others: Sequence[CriterionResult] = ()) -> str:
    """What follows when a claim is shown not to hold; empty where no more does than its denial."""
    match claim:
        case Difference():
            return _not_above(claim.upper, claim.lower, _lead(claim), others)
        case Equivalence(first, "p0"):
            return f"{_noun(first)} changes the answers by itself"
        case Equivalence(first, second):
            return f"{_noun(first)} does not do what {_noun(second)} does"
        case Band("p0"):
            return "without a message B is not at the level of guessing that was asked for"
    return ""


def closing(verdict: Verdict, results: Sequence[CriterionResult], step: str = "") -> str:
    """What a gate's verdict means, in one sentence; `step` is what to do next, where that is."""
    results = [result for result in results if result.decides]
    if verdict is Verdict.PASS and _shown_above(results, "normal", "shuffle"):
        return "B answers better with its own message than with another: the channel carries it."
    if verdict is Verdict.PASS and _shown_above(results, "p1", "p0"):
        return "the message as text helps: the task can show whether a message arrives."
    failed = _differences(results, Verdict.FAIL, "normal", "shuffle")
    if verdict is Verdict.FAIL and any(_lead(claim) <= 0.0 for claim in failed):
        return "the channel does not carry this message: any message does as well."
    return f"{_CLOSINGS[verdict].removesuffix('.')}; {step}." if step else _CLOSINGS[verdict]


def _differences(
    results: Sequence[CriterionResult], verdict: Verdict, high: str, low: str
) -> list[Difference]:
    """The claims of that verdict that say one condition is above another, margin aside."""
    claims = [result.claim for result in results if result.verdict is verdict]
    ordered = [claim for claim in claims if isinstance(claim, Difference)]
    return [claim for claim in ordered if (claim.upper, claim.lower) == (high, low)]


def _lead(claim: Difference) -> float:
    """By how much the upper condition is said to lead; below 0 it may trail by so much."""
    return claim.margin if claim.relation == ">" else -claim.margin


def _not_above(high: str, low: str, margin: float, others: Sequence[CriterionResult]) -> str:
    """What it means that `high` is less than `margin` above `low`."""
    by = points(abs(margin))
    if (high, low) == ("p0", "shuffle"):
        if margin > 0.0:
            return f"a contradicting message misleads the receiver by less than {by}, if at all"
        if _shown_above(others, "normal", "shuffle"):
            return "a contradicting message does not mislead the receiver"
        return "the receiver does not use the message"
    if low == "p0":
        if margin > 0.0:
            return f"{_noun(high)} helps by less than {by}, if at all"
        return f"{_noun(high)} does {'harm' if margin < 0.0 else 'not help'}"
    if high == "p0" and margin <= 0.0:
        return f"{_noun(low)} helps by itself"
    if margin > 0.0:
        return f"{_noun(low)} comes within {by} of it, or above"
    return f"{_noun(low)} does {'better' if margin < 0.0 else 'as well or better'}"


def _shown_above(results: Sequence[CriterionResult], high: str, low: str) -> bool:
    """Whether a criterion that passed shows one condition above another."""
    return any(_lead(claim) >= 0.0 for claim in _differences(results, Verdict.PASS, high, low))


def _noun(condition: str) -> str:
    if condition in TRUNCATED:
        return f"the message's first {TRUNCATED[condition]} bytes"
    return NOUNS.get(condition, condition)
