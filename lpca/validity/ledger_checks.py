"""What the ledger remembers: was this codec, or this reading, picked from several?

Every further look at the same test episodes is one more chance to pass by luck. A few are paid for:
the gate must then pass with its alpha divided by their number (Bonferroni). More are refused.
"""

from __future__ import annotations

from lpca.validity.audit import Audit, Leak

REMEDY = "choose on validation episodes, and judge the chosen one on a fresh seed of the task"


def ledger_intact(audit: Audit) -> str:
    """Each line of the ledger names the hash of the one before it."""
    if audit.past is None:
        return "no ledger is kept"
    if audit.past.altered:
        raise Leak(audit.past.altered)
    return f"{len(audit.past.earlier)} earlier looks at these episodes, none altered"


def checkpoints_accounted(audit: Audit) -> str:
    """Few other codecs were judged on these test episodes, and this one passes for all of them."""
    past = audit.past
    if past is None:
        return "no ledger is kept"
    channels = past.channels()
    judged = len(channels)
    if past.announced == 1 and any(past.now.rescaled(other) for other in channels[1:]):
        raise Leak(f"these latents were judged on these episodes at another scale; {REMEDY}")
    if judged > past.limit:
        raise Leak(
            f"{judged} codecs were judged on these episodes, {past.limit} are allowed; {REMEDY}"
        )
    if past.announced >= judged:
        what = f"one of {past.announced} codecs declared for these episodes"
    else:
        what = f"one of {judged} codecs judged on these episodes"
    return _paid(audit, max(judged, past.announced), what, "codec")


def looks_accounted(audit: Audit) -> str:
    """These outcomes were not read before at another number, or by other criteria, too often."""
    past = audit.past
    if past is None:
        return "no ledger is kept"
    readings = past.readings()
    count = len(readings)
    if count > past.limit:
        sizes = ", ".join(str(one.n) for one in sorted(readings, key=lambda one: one.n))
        raise Leak(
            f"this codec was read {count} times (after {sizes} episodes), {past.limit} are "
            f"allowed; declare the looks as sequential:, or {REMEDY}"
        )
    return _paid(audit, count, f"one of {count} readings of this codec", "reading")


def _paid(audit: Audit, count: int, what: str, unit: str) -> str:
    if count == 1:
        return f"the first {unit} on these episodes"
    if audit.passes(1) and not audit.passes(count):
        raise Leak(f"{what}: the gate passes, but not with alpha divided by {count}; {REMEDY}")
    return f"{what}; nothing changes with alpha divided by {count}"
