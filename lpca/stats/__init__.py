"""Paired intervals and tests, verdicts, power and sequential rules: pure functions on counts.

Importing a module costs milliseconds: numpy and scipy are loaded by the functions that need them.
"""

from lpca.stats.verdicts import Verdict

__all__ = ["Verdict"]
