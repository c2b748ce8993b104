"""What a machine has and lacks, and how to mend it.

Every module here must load where nothing else is installed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from lpca.base.exit_codes import ExitCode


@dataclass(frozen=True)
class Finding:
    """One line; with another code than PASS no gate can run. `mend` says what helps.

    `is_absent` marks what is not there and what gates can do without.
    """

    text: str
    code: ExitCode = ExitCode.PASS
    mend: str = ""
    is_absent: bool = False


@dataclass(frozen=True)
class Section:
    """Findings of one kind."""

    title: str
    findings: Sequence[Finding]


def first_line(error: Exception) -> str:
    """What an error says, on one line."""
    return (str(error).strip() or repr(error)).splitlines()[0]


def counted(count: int, thing: str) -> str:
    """Such as `1 gate`, `2 gates`."""
    return f"{count} {thing}{'s' * (count != 1)}"
