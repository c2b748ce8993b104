"""The gates in a folder: whether their spec can be run."""

from __future__ import annotations

from pathlib import Path

from lpca.base.exit_codes import ExitCode
from lpca.doctor.finding import Finding, Section, counted, first_line

SPEC = "gate_specs.yaml"


def project_section(folder: Path) -> Section:
    """What `lpca check` says about the folder's spec, in one line."""
    return Section("project", [_spec(folder / SPEC)])


def _spec(path: Path) -> Finding:
    if not path.exists():
        return Finding(f"{SPEC:18} none here", mend="lpca init", is_absent=True)
    try:
        from lpca.checker.check import check_spec, has_errors
        from lpca.gate.plan import task_of
        from lpca.gatespec.load import SpecError, load_spec
    except ImportError as error:
        return Finding(f"{SPEC:18} not looked at: {first_line(error)}", ExitCode.FAIL)
    try:
        spec = load_spec(path)
        task_of(spec)
    except SpecError as error:
        return Finding(str(error), ExitCode.USAGE_ERROR, "lpca check")
    findings = check_spec(spec)
    errors = sum(one.severity == "error" for one in findings)
    warnings = len(findings) - errors
    text = f"{SPEC:18} {counted(len(spec.gates), 'gate')}; {counted(errors, 'error')}, "
    text += counted(warnings, "warning")
    if has_errors(findings):
        return Finding(text, ExitCode.FAIL, "lpca check")
    return Finding(text)
