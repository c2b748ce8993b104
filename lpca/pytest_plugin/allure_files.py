"""The files that describe a whole run to Allure: categories, environment, executor."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from allure_commons.model2 import Status

from lpca.base.version import __version__
from lpca.evidence import Evidence

CATEGORIES = (
    {
        "name": "Invalid: a validity check or a required gate failed, nothing may be read",
        "matchedStatuses": [Status.BROKEN],
        "messageRegex": r"^INVALID: [\s\S]*$",
    },
    {
        "name": "Fail: the data contradict the claim",
        "matchedStatuses": [Status.FAILED],
        "messageRegex": r"^FAIL: [\s\S]*$",
    },
    {
        "name": "Inconclusive: the data do not decide the claim",
        "matchedStatuses": [Status.UNKNOWN],
        "messageRegex": r"^INCONCLUSIVE: [\s\S]*$",
    },
    {
        "name": "Not measured: the data are not there",
        "matchedStatuses": [Status.UNKNOWN],
        "messageRegex": r"^NOT MEASURED: [\s\S]*$",
    },
    {
        "name": "Broken: a test could not run",
        "matchedStatuses": [Status.BROKEN],
        "messageRegex": r"^BROKEN: [\s\S]*$",
    },
)
"""As in Allure's `categories.json`; a message is in one of them at most."""


def environment(evidence: Sequence[Evidence], verdicts: Mapping[str, str]) -> str:
    """Return `environment.properties`: what ran where, and the verdicts by gate."""
    found: dict[str, str] = {f"verdict {name}": verdict for name, verdict in verdicts.items()}
    found["lpca"] = __version__
    for one in evidence:
        receiver = one.receiver
        found["receiver"] = f"{receiver.name} ({receiver.dtype}, {receiver.device})"
        found["task"] = ", ".join(f"{key} {value}" for key, value in one.task.items())
        found["machine"] = ", ".join(one.machine.values())
        found |= {name: version for name, version in one.versions.items() if name != "lpca"}
        found["command"] = " ".join(one.command)
        found["spec sha256"] = one.hashes.spec
    return "".join(f"{_key(key)}={_value(value)}\n" for key, value in found.items())


def executor(run: str, now: int, verdicts: Mapping[str, str]) -> dict[str, Any]:
    """Return `executor.json`: which run of lpca this was, and when, in seconds since 1970."""
    return {
        "name": f"lpca {__version__}",
        "type": "lpca",
        "buildName": f"run {run[:8]}",
        "buildOrder": now,
        "reportName": ", ".join(f"{name}: {verdict}" for name, verdict in verdicts.items()),
    }


def _key(text: str) -> str:
    return "".join("\\" + letter if letter in " :=\\#!" else letter for letter in _value(text))


def _value(text: str) -> str:
    return " ".join(text.replace("\\", "/").split())
