"""What success counts without their pairing leave open, and attempts that were published as such.

`11 of 50 against 12 of 50` fits many paired tables, from all successes shared to none. Every one
of them is gone through: the claim's verdict and interval are known only as a range.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lpca.base.numbers import span
from lpca.gatespec.claims import unit_of
from lpca.gatespec.model import CONDITIONS, Criterion, Evaluation, declared_levels
from lpca.judge.outcomes import OutcomeError, clipped, printable
from lpca.stats.assessment import assess_counts
from lpca.stats.claims import Gain
from lpca.stats.tables import Interval, PairedTable, Proportion
from lpca.stats.verdicts import Verdict, decide

MAX_COUNTED = 100_000
"""Episodes whose pairings are gone through in a minute or so."""
_COUNTS = {"successes", "n"}
_FRACTION = re.compile(r"\s*([0-9]{1,9})\s*/\s*([0-9]{1,9})\s*")


@dataclass(frozen=True)
class Marginals:
    """By condition: successes, of the same `n` episodes for all."""

    successes: Mapping[str, int]
    n: int


@dataclass(frozen=True)
class PairingRange:
    """What one criterion can come to: every verdict, and all intervals' lowest and highest bound.

    `interval` is None where the claim reads three conditions or lacks one of its own.
    """

    id: str
    verdicts: tuple[Verdict, ...]
    interval: Interval | None
    message: str

    @property
    def cannot_pass(self) -> bool:
        """Whether the criterion was counted and passes under no pairing."""
        return not {Verdict.PASS, Verdict.NOT_MEASURED} & set(self.verdicts)


def marginals_of(counts: Mapping[str, Any]) -> Marginals:
    """Read `{"normal": [11, 50], ...}`; `"11/50"` and `{"successes": 11, "n": 50}` do as well.

    Raises:
        OutcomeError: a value is no pair of counts, or the conditions' n differ.
    """
    pairs = {condition: _pair(held) for condition, held in counts.items()}
    for condition, pair in pairs.items():
        if not _is_count_pair(pair):
            raise OutcomeError(
                f"{condition} is {counts[condition]!r:.60}; allowed: [successes, n] with "
                f"0 <= successes <= n, or outcomes by seed; n at most {MAX_COUNTED}"
            )
    sizes = {condition: pair[1] for condition, pair in pairs.items()}
    if len(set(sizes.values())) != 1:
        listed = ", ".join(f"{condition} {n}" for condition, n in sizes.items())
        raise OutcomeError(f"the conditions' n differ ({listed}); paired episodes have one n")
    return Marginals({name: pair[0] for name, pair in pairs.items()}, next(iter(sizes.values())))


def is_counts(held: Any) -> bool:
    """Whether a value of a JSON object is a condition's counts rather than its outcomes."""
    return not isinstance(held, dict) or held.keys() == _COUNTS


def _pair(held: Any) -> Any:
    """`[11, 50]`, from that, from `"11/50"` or from `{"successes": 11, "n": 50}`."""
    if isinstance(held, dict):
        return [held.get("successes"), held.get("n")]
    written = _FRACTION.fullmatch(held) if isinstance(held, str) else None
    return [int(written[1]), int(written[2])] if written else held


def _is_count_pair(pair: Any) -> bool:
    # a bool is an int to Python, and no count
    if not isinstance(pair, list) or [type(count) for count in pair] != [int, int]:
        return False
    successes, n = map(int, pair)
    return 0 <= successes <= n and 0 < n <= MAX_COUNTED


def pairing_range(criterion: Criterion, counts: Marginals, evaluation: Evaluation) -> PairingRange:
    """Every verdict a criterion could have, over all pairings that fit the counts.

    FAIL is counted before Holm's adjustment, which can only turn it into INCONCLUSIVE. A gain's
    estimate follows from the counts but its interval does not: only its sign is used.

    Raises:
        TypeError: the claim is one that no sound method decides.
    """
    missing = [name for name in criterion.claim.conditions if name not in counts.successes]
    if missing:
        reason = f"{criterion.id} has no counts for {', '.join(missing)}"
        return PairingRange(criterion.id, (Verdict.NOT_MEASURED,), None, reason)
    if isinstance(criterion.claim, Gain):
        verdicts = _gain_verdicts(criterion.claim, counts)
        return PairingRange(criterion.id, verdicts, None, _message(criterion, verdicts, None))
    # nothing passes by counts alone: no look is spent
    levels = declared_levels(criterion, evaluation)
    samples = _samples(criterion.claim.conditions, counts)
    possible = [assess_counts(criterion.claim, sample, *levels) for sample in samples]
    verdicts = tuple(dict.fromkeys(decide([assessment])[0] for assessment in possible))
    hull = Interval(
        min(assessment.interval.low for assessment in possible),
        max(assessment.interval.high for assessment in possible),
    )
    return PairingRange(criterion.id, verdicts, hull, _message(criterion, verdicts, hull))


def _samples(conditions: Sequence[str], counts: Marginals) -> Iterator[PairedTable | Proportion]:
    """The counts of one condition, or every table that those of two fit."""
    mine, *others = (counts.successes[name] for name in conditions)
    if not others:
        yield Proportion(mine, counts.n)
    for other in others:
        for both in range(max(0, mine + other - counts.n), min(mine, other) + 1):
            yield PairedTable(both, mine - both, other - both, counts.n - mine - other + both)


def _gain_verdicts(claim: Gain, counts: Marginals) -> tuple[Verdict, ...]:
    kept = counts.successes[claim.condition]
    asked = claim.fraction * counts.successes[claim.text]
    asked += (1.0 - claim.fraction) * counts.successes[claim.base]
    decided = (Verdict.PASS,) if kept > asked else (Verdict.FAIL,) if kept < asked else ()
    return (*decided, Verdict.INCONCLUSIVE)


def _message(criterion: Criterion, verdicts: tuple[Verdict, ...], hull: Interval | None) -> str:
    if verdicts == (Verdict.PASS,):
        what = "PASS under every pairing"
    elif Verdict.PASS in verdicts:
        what = f"{' or '.join(verdicts)}, depending on the pairing"
    else:
        what = f"cannot PASS under any pairing ({' or '.join(verdicts)})"
    bounds = ""
    if hull:
        ends = span(hull.low, hull.high, unit_of(criterion.claim), signed=True)
        bounds = f"; intervals reach from {ends}"
    return f"{criterion.id}: {what}{bounds}"


@dataclass(frozen=True)
class Attempt:
    """One attempt; `counts` by k where successes and n were published for some condition."""

    id: str
    valid: bool
    n: int | None
    faults: tuple[str, ...]
    counts: tuple[tuple[int, Marginals], ...]


def attempts_of(held: Sequence[Any]) -> tuple[Attempt, ...]:
    """Read the `attempts` of a file; one whose `status` is INVALID is not valid.

    Raises:
        OutcomeError: an attempt lacks its id, status, faults or results, or counts are malformed.
    """
    if not held:
        raise OutcomeError("attempts is an empty list; at least one attempt is due")
    return tuple(_attempt(index, attempt) for index, attempt in enumerate(held, start=1))


def _attempt(index: int, held: Any) -> Attempt:
    try:
        return Attempt(
            id=printable(str(held["id"])),
            valid=held["status"] != "INVALID",
            n=_size(held["episodes_per_condition"]),
            faults=tuple(printable(str(fault)) for fault in held["faults"]),
            counts=tuple(
                (int(result["k"]), marginals_of(counts))
                for result in held["results"]
                if (counts := _lists(result))
            ),
        )
    except OutcomeError:
        raise
    except (LookupError, TypeError, AttributeError, ValueError, OverflowError) as error:
        raise OutcomeError(
            f"attempt {index} is incomplete ({clipped(repr(error))}); due: id, status, "
            "episodes_per_condition, faults, results"
        ) from None


def _size(held: Any) -> int | None:
    if held is None or type(held) is int:
        return held
    raise TypeError(f"episodes_per_condition is {held!r:.40}, no whole number")


def _lists(result: dict[str, Any]) -> dict[str, list[Any]]:
    """The conditions of which a result has successes and n."""
    return {
        name: result[name] for name in CONDITIONS.among(result) if isinstance(result[name], list)
    }
