"""The verdict as a table for the terminal summary."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from lpca.judge import CriterionResult


def gate_lines(evidence: Mapping[str, Any], verdict: str, note: str = "") -> list[str]:
    """Return a gate's summary: head, conditions, validity, criteria, verdict.

    `verdict` is the run's for this gate, which may be NOT MEASURED where the evidence's is not.
    """
    k = "" if evidence["k"] is None else f"  k={evidence['k']}"
    receiver = evidence["receiver"]
    lines = [
        f"{evidence['gate']}{k}: {verdict}  {evidence['title']}",
        f"  receiver {receiver['name']} ({receiver['dtype']}, {receiver['device']}), answers "
        f"{evidence['answers']}, scored by {evidence['score']}{_codec(evidence)}",
        *_looks(evidence["looks"]),
        "",
        *_conditions(evidence),
        "",
        *_validity(evidence),
    ]
    for required in evidence["required"]:
        lines.append(f"  required {required['gate']}: {required['verdict']}")
        lines += _criteria(required["criteria"])
    if evidence["verdict"] != "INVALID":
        lines += ["", *_criteria(evidence["criteria"])]
    lines += [f"  {reason}" for reason in evidence["reasons"]]
    lines += [f"  {note}"] * bool(note)
    return lines


def _looks(looks: Mapping[str, Any]) -> list[str]:
    if "rule" not in looks:
        return []
    look = f"look {looks['look']} of {len(looks['sizes'])} ({looks['rule']})"
    return [f"  {looks['used']} of {looks['declared']} episodes: ended at {look}"]


def _codec(evidence: Mapping[str, Any]) -> str:
    codec = evidence["codec"]
    if codec is None:
        return ""
    if codec["origin"] == "own":
        declared = codec["trained_on"]
        training = "unknown" if declared is None else f"on {declared} declared messages"
        return f", codec {codec['architecture']} (own, training {training})"
    return f", codec {codec['origin']} (seed {codec['seed']})"


def _conditions(evidence: Mapping[str, Any]) -> list[str]:
    level = f"{evidence['confidence']:.0%} interval"
    lines = [f"  {'condition':<10}{'success':>12}{level:>19}{'greedy':>12}{'near-ties':>11}"]
    for name, numbers in evidence["conditions"].items():
        n, success = numbers["n"], numbers["likelihood"]
        low, high = success["interval"]
        lines.append(
            f"  {name:<10}{success['successes']:>5}/{n} {success['successes'] / n:>5.1%}"
            f"{f'[{low:.3f}, {high:.3f}]':>19}{numbers['greedy']['successes'] / n:>11.1%}"
            f"{numbers['near_ties']:>11}"
        )
    return lines


def _validity(evidence: Mapping[str, Any]) -> list[str]:
    checks = evidence["checks"]
    failed = [check for check in checks if check["passed"] is False]
    run = [check for check in checks if check["passed"] is not None]
    lines = [f"  validity: {len(run) - len(failed)} of {len(run)} checks passed"]
    lines += [f"    {check['id']} FAILED: {check['detail']}" for check in failed]
    return lines


def _criteria(criteria: Sequence[Mapping[str, Any]]) -> list[str]:
    if not criteria:
        return []
    results = [CriterionResult.from_dict(data) for data in criteria]
    width = max(len(result.id) for result in results)
    lines = [
        f"  {'criterion':<{width}}  {'estimate':>8}  {'interval':>18}  {'margin':>12}  "
        f"{'counts a b c d':>15}  verdict, spec line"
    ]
    for result in results:
        lines.append(
            f"  {result.id:<{width}}  {_number(result.estimate):>8}  {_interval(result):>18}  "
            f"{_margins(result):>12}  {_counts(result):>15}  {result.verdict} "
            f"{result.position.file}:{result.position.line}"
        )
        if result.verdict != "PASS":
            lines.append(f"    {result.message}")
    return lines


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:+.3f}"


def _interval(result: CriterionResult) -> str:
    if result.interval is None or result.confidence is None:
        return "-"
    low, high = result.interval.low, result.interval.high
    return f"{result.confidence:.0%} [{low:+.3f},{high:+.3f}]"


def _margins(result: CriterionResult) -> str:
    return ", ".join(f"{margin:+.2f}" for margin in result.margins)


def _counts(result: CriterionResult) -> str:
    if result.table is not None:
        table = result.table
        return f"{table.a} {table.b} {table.c} {table.d}"
    return "-" if result.successes is None else f"{result.successes}/{result.n}"
