"""Python, lpca and every package it needs, by their metadata: none of them is imported."""

from __future__ import annotations

import platform
import re
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from shlex import quote

from lpca.base.exit_codes import ExitCode
from lpca.base.version import PACKAGE, __version__
from lpca.doctor import Finding, Section

_WRITTEN = re.compile(r"(?P<name>[A-Za-z0-9._-]+)\s*(\[.*?\])?\s*(?P<allowed>[^;]*?)\s*(;.*)?")
_EXTRA = re.compile(r"""extra\s*==\s*['"](?P<name>[^'"]+)['"]""")
INSTALL = f"{quote(sys.executable)} -m pip install"


@dataclass(frozen=True)
class Need:
    """A package that lpca needs, in a range of versions; for an extra, where one is named."""

    name: str
    allowed: str
    extra: str = ""

    @classmethod
    def read(cls, text: str) -> Need:
        """From a line of lpca's metadata, such as `torch<2.14,>=2.11` or `x; extra == "dev"`."""
        found, extra = _WRITTEN.fullmatch(text), _EXTRA.search(text)
        assert found is not None, text
        ranges = ",".join(sorted(part.strip() for part in found["allowed"].split(",") if part))
        return cls(found["name"], ranges, extra["name"] if extra else "")

    def finding(self) -> Finding:
        """Whether it is there, and in the range."""
        wanted = f"needs {self.allowed or 'any'}"
        try:
            version = distribution(self.name).version
        except PackageNotFoundError:
            return Finding(f"{self.name:18} not installed, {wanted}", ExitCode.FAIL)
        fits = _fits(version, self.allowed)
        text = f"{self.name:18} {version:12} {wanted}"
        if fits is None:
            return Finding(f"{text}; not compared, for that needs packaging")
        return Finding(text, ExitCode.PASS if fits else ExitCode.FAIL)

    def __str__(self) -> str:
        return f"{self.name}{self.allowed}"


def python_section() -> Section:
    """Python and lpca itself."""
    found = _lpca()
    allowed = found.metadata["Requires-Python"] if found else ""
    version = platform.python_version()
    python = Finding(f"{'Python':18} {version:12} needs {allowed or 'any'}; {sys.executable}")
    if allowed and _fits(version, allowed) is False:
        python = Finding(python.text, ExitCode.FAIL, f"make an environment of Python {allowed}")
    folder = PACKAGE
    own = Finding(f"{'lpca':18} {__version__:12} {folder}")
    if found is None:
        mend = f"{INSTALL} {quote(str(folder.parent))}"
        own = Finding(f"{own.text}; not installed, so what it needs is not known", mend=mend)
    return Section("Python", [python, own])


def packages_section() -> Section:
    """Every package that a gate needs."""
    needs = [need for need in _needs() if not need.extra]
    findings = [need.finding() for need in needs]
    lacking = [index for index, finding in enumerate(findings) if finding.code]
    if lacking:
        mend = f"{INSTALL} {_quoted(needs[index] for index in lacking)}"
        findings[lacking[-1]] = replace(findings[lacking[-1]], mend=mend)
    return Section("packages that a gate needs", findings)


def extras_section() -> Section:
    """Every optional extra: whole, or what it lacks."""
    needs = _needs()
    names = dict.fromkeys(need.extra for need in needs if need.extra)
    return Section("optional", [_extra(name, needs) for name in names])


def again(name: str) -> str:
    """The command that installs a package anew, in the range that lpca needs."""
    own = [need for need in _needs() if need.name == name and not need.extra]
    return f"{INSTALL} --force-reinstall {_quoted(own or [Need(name, '')])}"


def _extra(name: str, needs: Sequence[Need]) -> Finding:
    own = [need for need in needs if need.extra == name]
    lacking = [need for need in own if need.finding().code]
    what = ", ".join(need.name for need in lacking or own)
    if not lacking:
        return Finding(f"{name:18} {what}")
    return Finding(f"{name:18} lacks {what}", mend=f"{INSTALL} {_quoted(lacking)}", is_absent=True)


def _quoted(needs: Iterable[Need]) -> str:
    return " ".join(quote(str(need)) for need in needs)


def _needs() -> list[Need]:
    found = _lpca()
    return [Need.read(text) for text in (found.requires if found else None) or []]


def _lpca() -> Distribution | None:
    try:
        return distribution("lpca")
    except PackageNotFoundError:
        return None


def _fits(version: str, allowed: str) -> bool | None:
    """Whether a version lies in a range; None where that cannot be said."""
    try:
        from packaging.specifiers import SpecifierSet
    except ImportError:
        return None
    return SpecifierSet(allowed).contains(version, prereleases=True)
