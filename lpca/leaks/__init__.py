"""Validity checks: they read what B was really given, and ask the model again."""

from lpca.leaks.audit import Audit, Leak
from lpca.leaks.run import run_checks

__all__ = ["Audit", "Leak", "run_checks"]
