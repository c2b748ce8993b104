"""How old evidence is, and what evidence of that age has to say.

Code of one version still changes: a validity check is added, and evidence of yesterday lacks it.
That is no damage. So each check says since which number of the catalogue it is there, evidence
which number its own code had, and it owes the checks up to there: none can be taken out, and what
was measured before a check existed is read as that.
"""

from __future__ import annotations

from lpca.base import __version__
from lpca.base.registry import declared
from lpca.evidence.json_form import EvidenceError
from lpca.evidence.model import Evidence

FIRST, HASHED, NAMED = 0, 1, 2
"""Numbers of the catalogue: at first; since evidence has a hash; since it names the number."""
UNHASHED = "written without a hash of its content; decided again from its outcomes"
"""What is said of evidence of earlier versions."""


class DoesNotHoldError(EvidenceError):
    """What was computed again is not what the evidence says; the text says what."""


def _since() -> dict[str, int]:
    told = declared("lpca.validity.checks")
    return {name: about.get("since", FIRST) for name, about in told.items()}


def catalogue_number() -> int:
    """The number of the catalogue as it stands."""
    return max(NAMED, *_since().values())


def number_of(evidence: Evidence, is_hashed: bool) -> int:
    """The number that the catalogue had when evidence was measured.

    Raises:
        DoesNotHoldError: it names one in which none was named yet.
    """
    if evidence.catalogue is None:
        return HASHED if is_hashed else FIRST
    if evidence.catalogue < NAMED:
        raise DoesNotHoldError(f"catalogue is {evidence.catalogue}; allowed: from {NAMED} on")
    return evidence.catalogue


def is_own(evidence: Evidence, is_hashed: bool) -> bool:
    """Whether this version wrote evidence, in a file with a hash of its content or without."""
    return is_hashed and evidence.versions.get("lpca") == __version__


def is_present(evidence: Evidence, is_hashed: bool) -> bool:
    """Whether the code as it stands wrote evidence, as that of a run that is going on."""
    return is_own(evidence, is_hashed) and evidence.catalogue == catalogue_number()


def lacking_checks(evidence: Evidence, is_hashed: bool) -> tuple[list[str], list[str]]:
    """The checks that evidence owes and lacks, and those it lacks since they are younger.

    Raises:
        DoesNotHoldError: it says an impossible number of the catalogue.
    """
    number, done = number_of(evidence, is_hashed), {check.id for check in evidence.checks}
    lacking = {name: since for name, since in _since().items() if name not in done}
    owed = [name for name, since in lacking.items() if since <= number]
    return owed, [name for name in lacking if name not in owed]


def hold_checks(evidence: Evidence, is_hashed: bool) -> None:
    """Raise DoesNotHoldError where a check that evidence owes is not there."""
    owed, _ = lacking_checks(evidence, is_hashed)
    if owed:
        raise DoesNotHoldError(f"not carried out: {', '.join(owed)}")


def hold_failed(evidence: Evidence) -> None:
    """Raise DoesNotHoldError where a check failed and the verdict hides it."""
    failed = [check.id for check in evidence.failed_checks]
    if failed and not evidence.is_invalid:
        raise DoesNotHoldError(
            f"a validity check failed, yet it calls itself {evidence.verdict}: {failed[0]}"
        )


def hold_noise(evidence: Evidence, is_hashed: bool) -> None:
    """Raise DoesNotHoldError where evidence of this version does not say its noise."""
    silent = [name for name, numbers in evidence.conditions.items() if numbers.noise is None]
    if silent and is_own(evidence, is_hashed):
        raise DoesNotHoldError(f"no noise is said under {', '.join(silent)}")


def age_in_words(evidence: Evidence, is_hashed: bool) -> str:
    """What a reader of evidence should know of its age; empty where it is of today's code."""
    if not is_hashed:
        return UNHASHED
    _, younger = lacking_checks(evidence, is_hashed)
    if not younger or not is_own(evidence, is_hashed):
        return ""
    return f"measured before {', '.join(younger)} existed; decided again from its outcomes"
