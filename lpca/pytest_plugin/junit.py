"""Verdicts and numbers for JUnit XML: properties of each test case, and of the suite."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Iterable
from pathlib import Path

from lpca.base.files import write_file
from lpca.evidence import Evidence

Properties = list[tuple[str, str]]


def criterion_properties(evidence: Evidence, name: str) -> Properties:
    """What a criterion came to: verdict, estimate, interval, bounds, counts and p-values.

    Rates, differences and bounds are proportions; `margins` holds one bound, or both ends of a
    band or an equivalence. What was not read is left out.
    """
    (result,) = (one for one in evidence.criteria if one.id == name)
    numbers: dict[str, object] = {
        "estimate": result.estimate,
        "interval_low": result.interval.low if result.interval else None,
        "interval_high": result.interval.high if result.interval else None,
        "confidence": result.confidence,
        "method": result.method,
        "n": result.n,
        "successes": result.successes,
        "p_pass": result.p_pass,
        "p_fail": result.p_fail,
        "needed_n": result.needed_n,
    }
    if result.table is not None:
        table = result.table
        numbers |= {"a": table.a, "b": table.b, "c": table.c, "d": table.d}
    return [
        ("verdict", result.verdict.value),
        ("claim", result.text),
        ("spec", f"{result.position.file}:{result.position.line}"),
        ("margins", " ".join(f"{margin:g}" for margin in result.margins)),
        *((key, str(value)) for key, value in numbers.items() if value is not None),
        ("receiver", evidence.receiver.name),
    ]


def check_properties(evidence: Evidence, name: str) -> Properties:
    """What a validity check found."""
    (check,) = (one for one in evidence.checks if one.id == name)
    passed = {True: "true", False: "false", None: "does not apply"}[check.passed]
    told = {"title": check.title, "passed": passed, "detail": check.detail}
    return [*told.items(), ("receiver", evidence.receiver.name)]


def add_suite_properties(path: Path, properties: Iterable[tuple[str, str]]) -> None:
    """Add properties to the suite of a JUnit XML file, which pytest offers only to fixtures."""
    tree = ET.parse(path)
    for suite in tree.getroot().iter("testsuite"):
        held = suite.find("properties")
        if held is None:
            held = ET.Element("properties")
            suite.insert(0, held)
        for name, value in properties:
            ET.SubElement(held, "property", name=name, value=value)
    write_file(path, lambda part: tree.write(part, encoding="utf-8", xml_declaration=True))
