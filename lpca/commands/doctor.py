"""`lpca doctor`: what is installed, what is missing, and how to mend it; how a receiver is read."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path

from lpca.base.arguments import loading
from lpca.base.errors import ExitCode, worst
from lpca.base.numbers import plural
from lpca.commands.cli import add_receiver_arguments
from lpca.doctor import Finding, Section, examined


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """A receiver to be looked at, or none."""
    add_receiver_arguments(parser, None)


def run(arguments: argparse.Namespace) -> ExitCode:
    """Print what is there; PASS when nothing is to be mended.

    USAGE_ERROR when the folder's spec cannot be read, FAIL for whatever else a gate lacks. Of a
    receiver: PASS where it is read exactly; that it is not is a RequestError.
    """
    if arguments.receiver is not None:
        from lpca.doctor import receiver_section

        section = receiver_section(arguments.receiver, **loading(arguments))
        print("\n".join(list(_lines([section]))[:-1]))
        return ExitCode.PASS
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
    told = plural(len(faults), "thing")
    if faults and all(one.is_untried for one in faults):
        yield f"a gate may run: {told} to mend, with which none was tried"
    elif faults:
        yield f"no gate can run: {told} to mend"
    else:
        yield "a gate can run"


def _mark(finding: Finding) -> str:
    if finding.code:
        return "MEND"
    return "--" if finding.is_absent else "ok"
