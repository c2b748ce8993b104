"""What the ledger remembers: was this codec, or this reading, picked from several?

Every further look at the same test episodes is one more chance to pass by luck. A few are paid for:
the gate must then pass with its alpha divided by their number (Bonferroni). More are refused.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lpca.validity.catalogue import CHECKS, CheckFailed, check

if TYPE_CHECKING:
    from lpca.validity.audit import Audit

INTACT = ("ledger_intact",)
"""What the others come after: of an altered ledger nothing is counted."""
NO_LEDGER = "no ledger is kept"
REMEDY = "choose on validation episodes, and judge the chosen one on a fresh seed of the task"


@CHECKS.register("ledger_intact")
@check("the ledger of looks is as it was written", place=250, needs=("normal",))
def ledger_intact(audit: Audit) -> str:
    """Each line of the ledger names the hash of the one before it.

    Catches a line that was changed or taken away. A ledger that was deleted leaves no trace.
    """
    if audit.ledger is None:
        return NO_LEDGER
    if audit.ledger.altered:
        raise CheckFailed(audit.ledger.altered)
    return f"{len(audit.ledger.earlier)} earlier looks at these episodes, none altered"


@CHECKS.register("checkpoints_accounted")
@check("the codec is no best of several", place=260, needs=("normal",), after=INTACT)
def checkpoints_accounted(audit: Audit) -> str:
    """Few other codecs were judged on these test episodes, and this one passes for all of them.

    Catches the best of ten checkpoints, and the best of a sweep of scales. Tolerance: as many
    codecs as the spec allows, each of them paid for; none at another scale, but for those that
    were declared together.
    """
    ledger = audit.ledger
    if ledger is None:
        return NO_LEDGER
    codecs = ledger.codecs()
    judged = len(codecs)
    if ledger.announced == 1 and any(ledger.now.rescaled(other) for other in codecs[1:]):
        raise CheckFailed(f"these latents were judged on these episodes at another scale; {REMEDY}")
    if judged > ledger.limit:
        raise CheckFailed(
            f"{judged} codecs were judged on these episodes, {ledger.limit} are allowed; {REMEDY}"
        )
    if ledger.announced >= judged:
        what = f"one of {ledger.announced} codecs declared for these episodes"
    else:
        what = f"one of {judged} codecs judged on these episodes"
    return _paid(audit, max(judged, ledger.announced), what, "codec")


@CHECKS.register("looks_accounted")
@check("the outcomes were not read until they pleased", place=270, needs=("normal",), after=INTACT)
def looks_accounted(audit: Audit) -> str:
    """These outcomes were not read before at another number, or by other criteria, too often.

    Catches episodes that are added, and margins that are loosened, until the gate passes.
    Tolerance: as many readings as the spec allows codecs, each of them paid for.
    """
    ledger = audit.ledger
    if ledger is None:
        return NO_LEDGER
    readings = ledger.readings()
    count = len(readings)
    if count > ledger.limit:
        sizes = ", ".join(str(reading.n) for reading in sorted(readings, key=lambda one: one.n))
        raise CheckFailed(
            f"this codec was read {count} times (after {sizes} episodes), {ledger.limit} are "
            f"allowed; declare the looks as sequential:, or {REMEDY}"
        )
    return _paid(audit, count, f"one of {count} readings of this codec", "reading")


def _paid(audit: Audit, count: int, what: str, unit: str) -> str:
    if count == 1:
        return f"the first {unit} on these episodes"
    if audit.passes(1) and not audit.passes(count):
        raise CheckFailed(
            f"{what}: the gate passes, but not with alpha divided by {count}; {REMEDY}"
        )
    return f"{what}; nothing changes with alpha divided by {count}"
