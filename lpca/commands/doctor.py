"""`lpca doctor`: what is installed, what is missing, and how to mend it."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path

from lpca.base.errors import ExitCode, worst
from lpca.base.numbers import plural
from lpca.doctor import Finding, Section, examined


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """No arguments."""


def run(_: argparse.Namespace) -> ExitCode:
    """Print what is there; PASS when a gate can run here.

    USAGE_ERROR when the folder's spec cannot be read, FAIL for whatever else a gate lacks.
    """
    sections = examined(Path())
    print("\n".join(_lines(sections)))
    return worst(finding.code for section in sections for finding in section.findings)


def _lines(sections: Sequence[Section]) -> Iterator[str]:
    for section in sections:
        if section.findings:
            yield section.title
        for finding in section.findings:
            yield f"  {_mark(finding):4}  {finding.text}"
            if finding.mend:
                yield f"          mend: {finding.mend}"
    faults = [one for section in sections for one in section.findings if one.code]
    if faults:
        yield f"no gate can run: {plural(len(faults), 'thing')} to mend"
    else:
        yield "a gate can run"


def _mark(finding: Finding) -> str:
    if finding.code:
        return "MEND"
    return "--" if finding.is_absent else "ok"
