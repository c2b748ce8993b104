"""The list of checks: what is stated of each, and what reading it costs."""

from __future__ import annotations

import subprocess
import sys
from collections import defaultdict
from pathlib import Path

from lpca.base.hashing import hash_data
from lpca.base.registry import declared
from lpca.gatespec.model import CONDITIONS
from lpca.judge.age import catalogue_number
from lpca.validity.catalogue import CHECKS

DOCS = Path(__file__).parents[2] / "docs"


def test_each_check_stands_under_its_own_name() -> None:
    assert {name: check.id for name, check in CHECKS.items()} == {name: name for name in CHECKS}
    assert len({check.title for check in CHECKS.values()}) == len(CHECKS)
    assert all(check.find.__doc__ for check in CHECKS.values())


def test_what_a_check_rests_on_is_carried_out_before_it() -> None:
    earlier: set[str] = set()
    for name, check in CHECKS.items():
        assert earlier.issuperset(check.after), name
        assert set(check.needs) <= set(CONDITIONS), name
        earlier.add(name)


NUMBERED = {0: "d92b", 1: "71db", 3: "69cc", 4: "a61d", 5: "5f3f"}
"""By the catalogue's number a hash of the checks that it added; a new check takes the next one."""


def test_a_new_check_says_since_which_number_it_is_there() -> None:
    """What was measured before it existed does not owe it; the others' numbers never change."""
    by_number = defaultdict[int, list[str]](list)
    for name, about in declared("lpca.validity.checks").items():
        by_number[about.get("since", 0)].append(name)
    assert {n: hash_data(sorted(own))[:4] for n, own in by_number.items()} == NUMBERED
    assert catalogue_number() == max(2, *by_number)


def test_no_two_checks_share_a_place() -> None:
    places = [check.place for check in CHECKS.values()]
    assert places == sorted(set(places))


def test_listing_the_checks_loads_no_heavy_package() -> None:
    code = (
        "import sys; from lpca.validity.catalogue import CHECKS; assert len(CHECKS) > 20; "
        "assert not {'torch', 'transformers', 'scipy', 'numpy'} & set(sys.modules)"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr


def test_the_documentation_says_what_must_hold_for_each() -> None:
    page = (DOCS / "validity.md").read_text(encoding="utf-8")
    assert [name for name in CHECKS if f"\n| `{name}` | " not in page] == []
