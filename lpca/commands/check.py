"""`lpca check`: the findings in a spec, for people, programs and pull requests."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence

from lpca.base.errors import ExitCode
from lpca.checker.check import Finding, check_spec, has_errors
from lpca.commands.cli import UsageError
from lpca.gate.plan import task_of
from lpca.gatespec.load import SpecError, load_spec
from lpca.report.layout import annotation

UNREADABLE = "unreadable"
"""The rule named when a file is no spec at all."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of this command."""
    parser.add_argument("spec", nargs="?", default="gate_specs.yaml", help="the spec to check")
    parser.add_argument("--format", choices=("text", "json", "github"), default="text")


def run(arguments: argparse.Namespace) -> ExitCode:
    """Print the findings; PASS without errors, FAIL with, USAGE_ERROR for what is no spec."""
    try:
        spec = load_spec(arguments.spec)
        task_of(spec)
        findings = check_spec(spec)
        code = ExitCode.FAIL if has_errors(findings) else ExitCode.PASS
    except SpecError as error:
        if arguments.format == "text":
            raise UsageError(error) from error
        findings = [Finding(error.position, error.message, "", "", UNREADABLE, "error")]
        code = ExitCode.USAGE_ERROR
    write = {"text": _text, "json": _json, "github": _github}[arguments.format]
    print(write(arguments.spec, findings))
    return code


def _text(file: str, findings: Sequence[Finding]) -> str:
    lines = []
    for finding in findings:
        lines.append(f"{finding.position}: {finding.severity}: {finding.rule}: {finding.wrong}")
        lines += [f"    {finding.number}"] * bool(finding.number)
        lines += [f"    write instead: {finding.instead}"] * bool(finding.instead)
    return "\n".join([*lines, f"{file}: {_summary(findings)}"])


def _summary(findings: Sequence[Finding]) -> str:
    if not findings:
        return "no findings"
    errors = sum(finding.severity == "error" for finding in findings)
    warnings = len(findings) - errors
    return f"{errors} error{'s' * (errors != 1)}, {warnings} warning{'s' * (warnings != 1)}"


def _json(file: str, findings: Sequence[Finding]) -> str:
    return json.dumps(
        {"file": file, "findings": [finding.to_dict() for finding in findings]}, indent=2
    )


def _github(_: str, findings: Sequence[Finding]) -> str:
    return "\n".join(_annotation(finding) for finding in findings)


def _annotation(one: Finding) -> str:
    parts = [one.wrong, one.number, f"Write instead: {one.instead}" if one.instead else ""]
    text = "\n".join(part for part in parts if part)
    return annotation(one.severity, one.position, one.rule, text)
