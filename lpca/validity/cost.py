"""Does every condition report what it cost, and is that what was in B's slot?"""

from __future__ import annotations

import math

from lpca.evaluation.condition_numbers import missing_numbers
from lpca.evaluation.conditions import TEXTS
from lpca.gatespec.model import TRUNCATED
from lpca.receivers.observed_input import INJECTED
from lpca.validity.audit import Audit, Leak, Unknown


def numbers_reported(audit: Audit) -> str:
    """Success, interval, bits, tokens and seconds are there, and the first four are right.

    Counted once more: positions in the slot, bytes of its text, and which episodes succeeded.
    """
    if audit.numbers is None:
        raise Unknown("nothing is reported here")
    if lack := missing_numbers(audit.numbers, list(audit.records)):
        raise Leak(lack)
    for condition, records in audit.records.items():
        told = audit.numbers[condition]
        slots = [record.given.ids[record.given.start : record.given.stop] for record in records]
        positions = sum(map(len, slots)) / len(slots)
        _same(condition, "tokens", told["tokens"], positions)
        successes = sum(record.success(audit.score) for record in records)
        _same(condition, "successes", told[audit.score]["successes"], successes)
        if condition in TEXTS and not any(INJECTED in ids for ids in slots):
            texts = [audit.receiver.text(ids).removeprefix(" ") for ids in slots]
            sizes = [len(text.encode()) for text in texts]
            _same(condition, "bits", told["bits"], 8 * sum(sizes) / len(sizes))
            if condition in TRUNCATED and max(sizes) > TRUNCATED[condition]:
                raise Leak(f"{condition}: {max(sizes)} bytes stood in a slot")
        elif condition != "p0":
            _same(condition, "bits", told["bits"], _bits_of_vectors(audit, condition, positions))
    return f"{len(audit.records)} conditions: success, interval, bits, tokens and seconds"


def _bits_of_vectors(audit: Audit, condition: str, positions: float) -> float:
    told = getattr(audit.setting.coded().codec, "bits", None)
    if told is not None and condition in ("normal", "shuffle", "same_answer"):
        return float(told)
    return positions * audit.receiver.d_model * audit.receiver.dtype.itemsize * 8


def _same(condition: str, what: str, told: float, counted: float) -> None:
    if not math.isclose(told, counted, rel_tol=1e-9):
        raise Leak(f"{condition}: {what} are reported as {told:g}, and {counted:g} were counted")
