"""The validity checks by name: what each needs, how it is carried out, and what came of it.

To add one, write a function in a module of `lpca.validity.checks` (a new one, if no thought there
fits) and enter it in the registry, with the catalogue's next number: evidence that names an earlier
one was measured before the check existed (`lpca.judge.age`). Nothing else has to know of it:

    @CHECKS.register("null_is_zero", since=3)
    @check("null is exactly zero", place=160, needs=("null",), after=TRACED)
    def null_is_zero(audit: Audit) -> str:
        ...
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from lpca.base.registry import Registry
from lpca.evidence.model import CheckResult

if TYPE_CHECKING:
    from lpca.validity.audit import Audit


class CheckFailed(Exception):  # noqa: N818 - a finding, not an error
    """What a check found; its text is shown."""


class CannotTell(Exception):  # noqa: N818 - neither a finding nor an error
    """A check applies and cannot tell, which every report says; its text says why."""


class DoesNotApply(Exception):  # noqa: N818 - neither a finding nor an error
    """There is nothing that a check could be about; its text says why."""


@dataclass(frozen=True)
class Check:
    """One validity check; called with an audit, it does what `find` does.

    Args:
        find: reads an audit and returns what it looked at, in one line for people. It raises
            CheckFailed where what must hold does not, CannotTell where nothing can be said,
            DoesNotApply where there is nothing to say.
        title: what must hold.
        place: checks are run and shown by rising place.
        needs: the conditions that must have been evaluated for it to apply.
        after: the checks without which what it reads means nothing: where one of them fails, it
            does not apply.
        may_abstain: whether it may find, although all that is there, that nothing can be said, or
            that it does not apply.
        reads_ledger: whether it is carried out while the ledger is held, after all others.
    """

    find: Callable[[Audit], str]
    title: str
    place: int
    needs: tuple[str, ...] = ()
    after: tuple[str, ...] = ()
    may_abstain: bool = False
    reads_ledger: bool = False

    @property
    def id(self) -> str:
        """Its name, which is the function's."""
        return self.find.__name__

    def __call__(self, audit: Audit) -> str:
        """Carry it out."""
        return self.find(audit)


CHECKS: Registry[Check] = Registry("check", "lpca.validity.checks", order=lambda check: check.place)
"""Every check by its name, in the order they are run and shown."""
TRACED = ("outcomes_traced",)
"""What a check comes after that reads records: they must be those of real model calls."""


def check(
    title: str,
    *,
    place: int,
    needs: tuple[str, ...] = (),
    after: tuple[str, ...] = (),
    may_abstain: bool = False,
    reads_ledger: bool = False,
) -> Callable[[Callable[[Audit], str]], Check]:
    """Return a decorator that makes a function a check; the arguments are those of `Check`."""
    return lambda find: Check(find, title, place, needs, after, may_abstain, reads_ledger)


def run_checks(
    audit: Audit, names: Collection[str] | None = None, *, reads_ledger: bool | None = None
) -> list[CheckResult]:
    """Carry out every check, in order; one that has nothing sound to read does not apply.

    Args:
        audit: what was measured, and what may be asked of the model once more.
        names: the checks to carry out where that is not all; what they rest on is believed.
        reads_ledger: only those that read the ledger, or only the others; both unless given.

    Returns:
        One result for each entry of `CHECKS`, or those named, in its order.
    """
    results: list[CheckResult] = []
    unsound: set[str] = set()
    for one in CHECKS.values():
        if names is not None and one.id not in names:
            continue
        if reads_ledger is not None and one.reads_ledger != reads_ledger:
            continue
        upset = [name for name in one.after if name in unsound]
        result = _carry_out(one, audit, upset)
        results.append(result)
        if upset or result.passed is False:
            # what rests on it cannot be read either
            unsound.add(one.id)
    return results


def unexplained(results: Sequence[CheckResult], conditions: Collection[str]) -> list[str]:
    """The checks that are said not to apply, and must have applied where these were evaluated."""
    told = {one.id: one.passed for one in results}
    found = []
    for one in CHECKS.values():
        could = all(name in conditions for name in one.needs) and not one.may_abstain
        # what rests on a check that could not be read is not read either
        if could and told.get(one.id, True) is None and all(told.get(name) for name in one.after):
            found.append(one.id)
    return found


def _carry_out(one: Check, audit: Audit, upset: list[str]) -> CheckResult:
    told = partial(CheckResult, one.id, one.title)
    missing = [condition for condition in one.needs if condition not in audit.outcomes]
    if missing:
        return told(None, f"not evaluated: {', '.join(missing)}")
    if upset:
        return told(None, f"nothing to read: {', '.join(upset)} does not hold")
    try:
        return told(True, one(audit))
    except DoesNotApply as reason:
        return told(None, str(reason))
    except CannotTell as reason:
        return told(None, str(reason), abstained=True)
    except CheckFailed as finding:
        return told(False, str(finding))
