"""Decides gates from outcomes, without any model."""

from lpca.judge.decide import judge, judge_gate, required_gates_pass
from lpca.judge.outcomes import OutcomeError, OutcomeTable
from lpca.judge.results import CriterionResult, GateResult

__all__ = [
    "CriterionResult",
    "GateResult",
    "OutcomeError",
    "OutcomeTable",
    "judge",
    "judge_gate",
    "required_gates_pass",
]
