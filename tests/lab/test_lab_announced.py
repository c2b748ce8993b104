"""Codecs declared together pay together: no verdict depends on which came first."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from lpca.validity.catalogue import CheckFailed
from lpca.validity.checks.ledger import checkpoints_accounted
from lpca.validity.ledger import GateLedger, LedgerEntry

NOW = LedgerEntry("t" * 64, "receiver", 4, (1.0, -2.0, 0.5), "lab", 60, "episodes", "criteria")
OTHERS = [replace(NOW, fingerprint=(9.0 * i, 7.0, -float(i))) for i in range(1, 9)]


def account(earlier, passes_up_to, announced=8, limit=8):
    """The check's detail for a codec whose gate passes with alpha divided by up to a count."""
    ledger = GateLedger(Path(), NOW, OTHERS[:earlier], limit, announced)
    return checkpoints_accounted(
        SimpleNamespace(ledger=ledger, passes=lambda count: count <= passes_up_to)
    )


@pytest.mark.parametrize("earlier", range(8))
def test_the_first_pays_as_the_last_does(earlier):
    assert "one of 8 codecs declared" in account(earlier, passes_up_to=8)
    with pytest.raises(CheckFailed, match="not with alpha divided by 8"):
        account(earlier, passes_up_to=7)


def test_a_gate_that_does_not_pass_pays_nothing():
    assert "nothing changes" in account(3, passes_up_to=0)


def test_more_than_were_declared_are_refused():
    with pytest.raises(CheckFailed, match="9 codecs were judged on these episodes, 8 are allowed"):
        account(8, passes_up_to=99)


def test_what_was_judged_before_the_grid_counts_too():
    with pytest.raises(CheckFailed, match=r"one of 6 codecs judged .* divided by 6"):
        account(5, passes_up_to=5, announced=4)


def test_alone_it_is_as_before():
    assert account(0, passes_up_to=1, announced=1) == "the first codec on these episodes"
    with pytest.raises(CheckFailed, match="one of 3 codecs judged on these episodes"):
        account(2, passes_up_to=2, announced=1)


def test_another_scale_is_one_of_those_declared():
    louder = replace(NOW, fingerprint=tuple(3.0 * value for value in NOW.fingerprint))
    ledger = GateLedger(Path(), NOW, [louder], 8, announced=8)
    audit = SimpleNamespace(ledger=ledger, passes=lambda count: True)
    assert "one of 8" in checkpoints_accounted(audit)
    audit.ledger = replace(ledger, announced=1)
    with pytest.raises(CheckFailed, match="at another scale"):
        checkpoints_accounted(audit)
    audit.ledger = GateLedger(Path(), NOW, [louder], 8)
    with pytest.raises(CheckFailed, match="at another scale"):
        checkpoints_accounted(audit)
