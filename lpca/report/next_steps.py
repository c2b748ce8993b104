"""What to do next, in one sentence that fits the cause: the table that all reports take it from.

A sentence is mechanical: nothing in it is known beyond the results.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field

from lpca.base.numbers import percent
from lpca.evidence.model import CriterionResult, Evidence, GateResult
from lpca.gatespec.claims import in_words
from lpca.stats.claims import Band, Difference, Equivalence
from lpca.stats.verdicts import Verdict

MENDS: Mapping[str, str] = {
    "receiver_frozen": "freeze the receiver (eval(), requires_grad_(False)) and load it anew",
    "episodes_complete": "count a failed generation as a failure, and leave no episode out",
    "splits_disjoint": "keep test messages out of training, or take another seed:",
    "position_balanced": "shuffle the options by the episode's seed",
    "no_answer_outside_options": "take the answer out of the prompt",
    "form_gives_no_answer": "make the prompt's form independent of the answer",
    "donors_deranged": "give each episode one donor of another answer",
    "slow_path_agrees": "see whether the prefix is lost after the first token or in a batch",
    "outcomes_traced": "run again with an empty cache, and leave records as they are measured",
    "prompt_is_p0s": "build the prompt in one place for all conditions",
    "text_is_message": "put the message's text into its slot whole, in its own words",
    "prompt_ignores_message": "build the prompt without the message",
    "latents_injected": "see where and whether the prefix is injected",
    "normal_names_no_place": "have the codec send the answer, not its place among the options",
    "shuffle_is_donors": "encode the donor's message, and nothing else",
    "lengths_say_nothing": "have the channel send content, not a number of positions",
    "prefix_used": "see the attention mask, the positions and the layer of injection",
    "null_is_zero": "inject zero vectors, not decode(0), which has a bias",
    "random_has_norms": "scale each noise vector to its latent's norm",
    "random_is_noise": "draw the noise independently of all latents",
    "shaped_is_shaped": "shape the noise by training messages alone",
    "empty_is_empty": "encode an empty message for all",
    "static_is_static": "train the control as long as the codec, with its batches",
    "mean_is_mean": "take the mean over training messages alone",
    "same_answer_agrees": "use another message that names the same option",
    "encoding_repeatable": "switch dropout and batch statistics off; remember no message",
    "remembers_nothing": "make each packet of its view alone, and keep nothing between messages",
    "bits_as_declared": "send a code itself, not a straight-through sum, or declare more bits",
    "packets_within_limit": "send a narrower type, fewer positions or a codebook",
    "plumbing_logits": "see scaling, norm, type and position of what is injected",
    "numbers_reported": "report what was measured",
    "ledger_intact": "restore .lpca/ledger/ from version control",
}
"""By validity check what mends it; `docs/validity.md` says what must hold."""
ADVICE: Mapping[frozenset[str], str] = {
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
    frozenset({"normal", "first_k"}): (
        "the message cut to k tokens does as well: the latents carry no more than they"
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
"""What a contradicted claim on a pair of conditions asks for."""
FRESH_CHECKS = ("checkpoints_accounted", "looks_accounted")
"""Checks of looks that were taken: nothing about the run itself is to be mended."""
READS_LITTLE = 0.10
"""By less than this a message as text helps B hardly, whatever a claim's margin."""


@dataclass(frozen=True)
class Found:
    """What a gate came to, as far as a next step depends on it.

    Attributes:
        verdict: the gate's.
        results: its criteria that decide.
        rates: success by condition, of what was measured.
        failed: ids of the validity checks that failed.
        required: the gates that it requires, as they came out.
    """

    verdict: Verdict
    results: Sequence[CriterionResult]
    rates: Mapping[str, float] = field(default_factory=dict)
    failed: Collection[str] = ()
    required: Sequence[GateResult] = ()

    @property
    def open(self) -> list[CriterionResult]:
        """Criteria that do not hold, those of required gates first: they come first to mend."""
        results = [one for gate in self.required for one in gate.deciding] + [*self.results]
        return [one for one in results if one.verdict in (Verdict.FAIL, Verdict.INCONCLUSIVE)]

    def told(self, name: str) -> str:
        """A condition with its rate."""
        return f"{name} is {percent(self.rates[name])}" if name in self.rates else name


def found_in(evidence: Evidence) -> Found:
    """What evidence says of its gate."""
    failed = [one.id for one in evidence.failed_checks]
    results, rates = evidence.result.deciding, evidence.rates
    return Found(evidence.verdict, results, rates, failed, evidence.required)


def next_step(found: Found) -> str:
    """What to do about a gate that is INVALID or INCONCLUSIVE, in one clause; else nothing."""
    if found.verdict not in (Verdict.INVALID, Verdict.INCONCLUSIVE):
        return ""
    return next(filter(None, (cause(found) for cause in CAUSES)), "")


def _failed_check(found: Found) -> str:
    if not found.failed:
        return ""
    name, *others = found.failed
    if name in FRESH_CHECKS:
        return "choose on validation episodes, and judge what is chosen once, on rows of its own"
    more = f", then mend {', '.join(others)}" if others else ""
    return f"{MENDS.get(name, f'mend what {name} has found')} ({name}){more}; then run again"


def _unreadable(found: Found) -> str:
    for one in found.open:
        match one.claim:
            case Difference(upper="p1", lower="p0") if {"p0", "p1"} <= found.rates.keys():
                if found.rates["p1"] - found.rates["p0"] < max(one.claim.margin, READS_LITTLE):
                    return (
                        f"B cannot read this text: {found.told('p1')}, p0 "
                        f"{percent(found.rates['p0'])}; take a larger receiver or shorter messages"
                    )
    return ""


def _guessed(found: Found) -> str:
    for one in found.open:
        match one.claim:
            case Band("p0", low, high) if "p0" in found.rates:
                if found.rates["p0"] > (low + high) / 2:
                    return (
                        f"B answers without any message: {found.told('p0')}; take answers that "
                        "its own text does not tell, or a band that fits them"
                    )
                return (
                    f"without a message B is misled: {found.told('p0')}; take options that it "
                    "likes alike, or a band that fits them"
                )
    return ""


def _path(found: Found) -> str:
    for one in found.open:
        pair, failed = frozenset(one.claim.conditions), one.verdict is Verdict.FAIL
        if failed and isinstance(one.claim, Equivalence) and pair == {"embed", "p1"}:
            return f"{found.told('embed')}, {found.told('p1')}: {ADVICE[pair]}"
    return ""


def _required(found: Found) -> str:
    unmet = [one.name for one in found.required if one.verdict is not Verdict.PASS]
    if found.verdict is Verdict.INVALID and unmet:
        return f"{' and '.join(unmet)} must hold before anything of this gate can be read"
    return ""


def _rounding(found: Found) -> str:
    turned = [one for one in found.open if one.rounding is not None and one.rounding.decides]
    return "run it with --dtype float32, or with more episodes" if turned else ""


def _too_few(found: Found) -> str:
    groups = [one.needed_groups for one in found.open if one.needed_groups is not None]
    if groups:
        return f"declare a next run of {max(groups)} groups, on rows that share none with these"
    sizes = [one.needed_n for one in found.open]
    needed = [size for size in sizes if size is not None]
    if needed and len(needed) == len(sizes):
        return f"declare a next run of n: {max(needed)}, on rows that share none with these"
    return ""


def _against(found: Found) -> str:
    for one in found.open:
        if one.needed_n is None and one.needed_groups is None:
            claim = in_words(one.claim)
            return (
                f"no more episodes of this kind would show that {claim}; change the channel, or "
                "claim less beforehand"
            )
    return ""


CAUSES: Sequence[Callable[[Found], str]] = (
    _failed_check,
    _unreadable,
    _guessed,
    _path,
    _required,
    _rounding,
    _too_few,
    _against,
)
"""What may be the matter, in the order in which it is to be mended; each says nothing where not."""
