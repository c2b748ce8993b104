"""The checker's rules, one list in the order of the documentation."""

from lpca.checker.rules.attainable import POWER_UNKNOWN, UNATTAINABLE, UNDERPOWERED
from lpca.checker.rules.base import Fault, Rule, Severity
from lpca.checker.rules.bookkeeping import DUPLICATE_ID, SEED_OVERLAP, UNUSED_CONDITION
from lpca.checker.rules.controls import INERT_RETENTION, MISSING_CONTROL
from lpca.checker.rules.inference import (
    ALPHA_MISMATCH,
    NOT_SIGNIFICANT_AS_EQUAL,
    OVERLAP,
    POINT_ESTIMATE,
    UNPAIRED,
)
from lpca.checker.rules.selection import OPTIONAL_STOPPING, OUTCOME_FILTER, WINNERS_CURSE

__all__ = ["RULES", "Fault", "Rule", "Severity"]

RULES: tuple[Rule, ...] = (
    UNATTAINABLE,
    UNDERPOWERED,
    POWER_UNKNOWN,
    POINT_ESTIMATE,
    OVERLAP,
    UNPAIRED,
    NOT_SIGNIFICANT_AS_EQUAL,
    ALPHA_MISMATCH,
    MISSING_CONTROL,
    INERT_RETENTION,
    OPTIONAL_STOPPING,
    WINNERS_CURSE,
    OUTCOME_FILTER,
    SEED_OVERLAP,
    DUPLICATE_ID,
    UNUSED_CONDITION,
)
