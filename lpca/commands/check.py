"""`lpca check`: the findings in a spec, for people, programs and pull requests."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence

from lpca.base.errors import ExitCode
from lpca.checker.check import Finding, check_spec, has_errors, tally
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
            raise
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
    return "\n".join([*lines, f"{file}: {tally(findings) if findings else 'no findings'}"])


def _json(file: str, findings: Sequence[Finding]) -> str:
    told = [finding.to_dict() for finding in findings]
    return json.dumps({"file": file, "findings": told}, indent=2)


def _github(_: str, findings: Sequence[Finding]) -> str:
    lines = []
    for finding in findings:
        instead = f"Write instead: {finding.instead}" if finding.instead else ""
        text = "\n".join(filter(None, [finding.wrong, finding.number, instead]))
        lines.append(annotation(finding.severity, finding.position, finding.rule, text))
    return "\n".join(lines)
