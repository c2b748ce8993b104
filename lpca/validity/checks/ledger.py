"""What the ledger remembers: were these rows looked at more often than alpha was divided for?

Every look is one more chance to pass by luck. The spec declares beforehand how many there may be,
and each is read at its share of alpha from the first on; more are refused.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lpca.validity.catalogue import CHECKS, CheckFailed, check

if TYPE_CHECKING:
    from lpca.validity.audit import Audit
    from lpca.validity.ledger import Family, GateLedger

INTACT = ("ledger_intact",)
"""What the others come after: of an altered ledger nothing is counted."""
NO_LEDGER = "no ledger is kept"
REMEDY = (
    "choose on validation episodes (--split validation), and judge the chosen one on test episodes "
    "that share no row with these"
)


@CHECKS.register("ledger_intact")
@check("the ledger of looks is as it was written", place=250, needs=("normal",), reads_ledger=True)
def ledger_intact(audit: Audit) -> str:
    """Each line of the ledger names the hashes of those before it, and its head the last ones.

    Catches a line that was changed or taken away, the last one too. A ledger that was deleted with
    its head leaves no trace but in evidence, which names the head it was measured at.
    """
    if audit.ledger is None:
        return NO_LEDGER
    if audit.ledger.altered:
        raise CheckFailed(audit.ledger.altered)
    earlier = len(audit.ledger.family.entries) - 1
    return f"{earlier} earlier looks at these episodes, none altered"


@CHECKS.register("checkpoints_accounted")
@check(
    "the codec is no best of several", place=260, needs=("normal",), after=INTACT, reads_ledger=True
)
def checkpoints_accounted(audit: Audit) -> str:
    """All codecs that were judged on rows connected with these are paid for.

    Catches the best of ten checkpoints, k, scales or receivers, under whatever seed, gate or
    file the rows were read. Tolerance: as many looks as the spec declares, each read at its share
    of alpha from the first on.
    """
    ledger = audit.ledger
    if ledger is None:
        return NO_LEDGER
    if not ledger.family.is_paid and ledger.own.is_paid:
        raise CheckFailed(f"{_counted(ledger.family, ledger)}; {REMEDY}")
    return _told(ledger)


@CHECKS.register("looks_accounted")
@check(
    "the outcomes were not read until they pleased",
    place=270,
    needs=("normal",),
    after=INTACT,
    reads_ledger=True,
)
def looks_accounted(audit: Audit) -> str:
    """All readings of this codec on rows connected with these are paid for.

    Catches episodes that are added, and margins that are loosened, until the gate passes, under
    whatever gate's name. Tolerance: as for `checkpoints_accounted`.
    """
    ledger = audit.ledger
    if ledger is None:
        return NO_LEDGER
    own = ledger.own
    if not own.is_paid:
        sizes = ", ".join(map(str, sorted(entry.n for entry in own.entries)))
        raise CheckFailed(
            f"this codec was read {_looks(own)} times (after {sizes} episodes), {ledger.limit} are "
            f"allowed; declare the looks as sequential:, or {REMEDY}"
        )
    return _told(ledger)


def _looks(family: Family) -> int:
    """How many looks a family counts as: each codec, with each set of claims."""
    return len(family.subjects) * max(1, len(family.shares))


def _counted(family: Family, ledger: GateLedger) -> str:
    codecs, claims = len(family.subjects), len(family.shares)
    if claims > 1:
        return (
            f"{codecs} codecs and {claims} sets of claims make {codecs * claims} looks at these "
            f"episodes, {ledger.limit} are allowed"
        )
    return f"{codecs} codecs were judged on these episodes, {ledger.limit} are allowed"


def _told(ledger: GateLedger) -> str:
    if not ledger.now.share:
        return "no claim is about the codec"
    codecs = len(ledger.family.subjects)
    which = "the first codec" if codecs == 1 else f"one of {codecs} codecs judged"
    if seeds := ledger.now.seeds:
        which += f" (its {len(seeds)} training seeds count as one, for all must hold)"
    return (
        f"{which} on these episodes; its claims are read at 1/{round(1 / ledger.now.share)} of "
        f"alpha, of which {_share(ledger.family.spent)} are spent"
    )


def _share(spent: float) -> str:
    return f"{100 * spent:.0f} %"
