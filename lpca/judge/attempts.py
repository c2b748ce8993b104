"""Published attempts: success rates or counts by k, and the faults their authors recorded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from lpca.gatespec.model import CONDITIONS
from lpca.judge.marginals import Marginals, marginals_of
from lpca.judge.outcomes import OutcomeError, clipped, printable


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
    return tuple(_attempt(index, one) for index, one in enumerate(held, start=1))


def _attempt(index: int, held: Any) -> Attempt:
    try:
        return Attempt(
            id=printable(str(held["id"])),
            valid=held["status"] != "INVALID",
            n=_size(held["episodes_per_condition"]),
            faults=tuple(printable(str(fault)) for fault in held["faults"]),
            counts=tuple(_counts(result) for result in held["results"] if _counted(result)),
        )
    except OutcomeError:
        raise
    except (LookupError, TypeError, AttributeError, ValueError, OverflowError) as error:
        raise OutcomeError(
            f"attempt {index} is incomplete ({clipped(repr(error))}); due: id, status, "
            "episodes_per_condition, faults, results"
        ) from None


def _size(held: Any) -> int | None:
    if held is not None and (not isinstance(held, int) or isinstance(held, bool)):
        raise TypeError(f"episodes_per_condition is {held!r:.40}, no whole number")
    return held


def _counted(result: dict[str, Any]) -> bool:
    return any(isinstance(result.get(name), list) for name in CONDITIONS)


def _counts(result: dict[str, Any]) -> tuple[int, Marginals]:
    lists = {name: result[name] for name in CONDITIONS if isinstance(result.get(name), list)}
    return int(result["k"]), marginals_of(lists)
