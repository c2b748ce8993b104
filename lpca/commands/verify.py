"""`lpca verify`: what of a verdict can be computed again from its evidence."""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from lpca.base.errors import ExitCode
from lpca.base.hashing import hash_data
from lpca.base.registry import declared
from lpca.evidence.files import read_evidence
from lpca.evidence.model import CriterionResult, EpisodeOutcome, Evidence, KeptEpisode
from lpca.gatespec.load import load_spec
from lpca.gatespec.model import Spec
from lpca.judge.decide import explored, judge
from lpca.judge.reader import contradictions, table_of_evidence
from lpca.stats.verdicts import Verdict

CLOSE = 1e-9
"""How far two computations of one p-value may lie apart, relatively."""


class DoesNotHoldError(Exception):
    """What was computed again is not what the evidence says; the text says what."""


class UnknownError(Exception):
    """What it takes is not at hand; the text says what."""


@dataclass(frozen=True)
class Case:
    """The evidence, and where spec and ledger are looked for."""

    evidence: Evidence
    spec: Path
    is_named: bool
    ledger: Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of this command."""
    parser.add_argument("evidence", type=Path, help="a file of .lpca/evidence/")
    parser.add_argument(
        "--spec", type=Path, help="the spec; by default the one it names, if it is there"
    )
    parser.add_argument(
        "--ledger", type=Path, help="the ledger's folder; by default the one beside the evidence"
    )


def run(arguments: argparse.Namespace) -> ExitCode:
    """Say of each part whether it holds; INVALID at the first that does not."""
    evidence = read_evidence(arguments.evidence)
    named = Path(evidence.criteria[0].position.file) if evidence.criteria else Path()
    place = arguments.evidence.resolve().parent
    place = place.parent if evidence.split else place
    case = Case(
        evidence,
        arguments.spec or named,
        arguments.spec is not None,
        arguments.ledger or place.parent / "ledger",
    )
    for name, step in STEPS.items():
        try:
            print(f"{name}: holds: {step(case)}")
        except UnknownError as reason:
            print(f"{name}: not known: {reason}")
        except DoesNotHoldError as reason:
            print(f"{name}: DOES NOT HOLD: {reason}")
            return ExitCode.INVALID
    return ExitCode.PASS


def _checks(case: Case) -> str:
    evidence = case.evidence
    done = {check.id for check in evidence.checks}
    if missing := [name for name in declared("lpca.validity.checks") if name not in done]:
        raise DoesNotHoldError(f"not carried out: {', '.join(missing)}")
    failed = [check.id for check in evidence.failed_checks]
    if failed and not evidence.is_invalid:
        raise DoesNotHoldError(f"{failed[0]} failed, and the verdict is {evidence.verdict}")
    return f"{len(done)} were carried out, {len(failed)} failed"


def _outcomes(case: Case) -> str:
    evidence = case.evidence
    for fault in contradictions(evidence):
        raise DoesNotHoldError(fault)
    for episode in evidence.episodes:
        for name, found in episode.outcomes.items():
            said = _named_right(episode, found)
            if said is not None and said != found.greedy:
                raise DoesNotHoldError(
                    f"greedy outcome under {name} is not what was said: episode {episode.seed}"
                )
    for name, numbers in evidence.conditions.items():
        kept = [episode.outcomes[name] for episode in evidence.episodes]
        for score in ("likelihood", "greedy"):
            count = sum(bool(getattr(one, score)) for one in kept)
            if count != getattr(numbers, score).successes:
                raise DoesNotHoldError(f"{name}: {count} {score} successes are kept, not as told")
    return f"{len(evidence.episodes)} episodes, each as its scores say"


def _named_right(episode: KeptEpisode, found: EpisodeOutcome) -> bool | None:
    """Whether what was said names the right option; None where that is not kept."""
    from lpca.evaluation.outcome import named_option

    if found.credit is not None:
        return found.credit == 1.0
    if found.said is None or not episode.options or episode.answer is None:
        return None
    return named_option(found.said, episode.options)[0] == episode.answer


def _hashes(case: Case) -> str:
    evidence = case.evidence
    names = list(evidence.episodes[0].outcomes) if evidence.episodes else []
    kept = {
        name: [
            [one.seed, one.outcomes[name].likelihood, one.outcomes[name].greedy]
            for one in evidence.episodes
        ]
        for name in names
    }
    if hash_data(kept) != evidence.hashes.outcomes:
        raise DoesNotHoldError("the outcomes' hash is another")
    return "the outcomes' hash"


def _spec(case: Case) -> Spec:
    if not case.is_named and not case.spec.is_file():
        raise UnknownError(f"the spec {case.spec} is not here; give --spec")
    return load_spec(case.spec)


def _spec_hash(case: Case) -> str:
    spec = _spec(case)
    if spec.sha256 != case.evidence.hashes.spec:
        raise DoesNotHoldError(f"{case.spec} is not the spec that was loaded")
    return f"{case.spec} is the spec that was loaded"


def _verdict(case: Case) -> str:
    evidence, spec = case.evidence, _spec(case)
    if evidence.gate not in spec.gates:
        raise DoesNotHoldError(f"{case.spec} has no gate {evidence.gate}")
    spec = spec.on_at_most(evidence.gate, evidence.looks.declared)
    faults = [f"{check.id}: {check.detail}" for check in evidence.failed_checks]
    result = judge(spec, evidence.gate, table_of_evidence(evidence), faults=faults)
    if evidence.split:
        result = explored(result)
    named, due = ([one.id for one in held.criteria] for held in (evidence, result))
    if named != due:
        raise DoesNotHoldError(f"its criteria are {named}; the spec's are {due}")
    read = {one.id: one for one in evidence.criteria if one.verdict is not Verdict.NOT_MEASURED}
    for one in result.criteria:
        if one.id in read and not _same(one, read[one.id]):
            raise DoesNotHoldError(
                f"{one.id} comes to {one.verdict}, p {one.p_pass}; the evidence says "
                f"{read[one.id].verdict}, p {read[one.id].p_pass}"
            )
    if len(read) == len(result.criteria) and result.verdict is not evidence.verdict:
        raise DoesNotHoldError(f"it comes to {result.verdict}, not to {evidence.verdict}")
    return f"{evidence.gate} comes to {evidence.verdict} once more"


def _same(one: CriterionResult, other: CriterionResult) -> bool:
    if one.verdict is not other.verdict or (one.p_pass is None) != (other.p_pass is None):
        return False
    if one.p_pass is None or other.p_pass is None:
        return True
    return math.isclose(one.p_pass, other.p_pass, rel_tol=CLOSE, abs_tol=1e-300)


def _ledger(case: Case) -> str:
    from lpca.validity.ledger import looks_of, unpaid
    from lpca.validity.ledger_file import LedgerError, LedgerFile

    evidence, facts = case.evidence, case.evidence.ledger
    if facts is None:
        raise UnknownError("the evidence names no ledger")
    if not case.ledger.is_dir():
        raise UnknownError(f"{case.ledger} is not here; give --ledger")
    try:
        ledger = LedgerFile.read(case.ledger)
        looks, late = looks_of(ledger), unpaid(ledger)
    except LedgerError as error:
        raise DoesNotHoldError(str(error)) from None
    if not ledger.holds([*facts.heads, facts.look]) or len(ledger.lines) < facts.lines:
        raise DoesNotHoldError(
            f"{case.ledger} lacks lines that the evidence names: they were taken away"
        )
    look, hashes = looks.get(facts.look), evidence.hashes
    known = None if look is None else (look.gate, look.k, look.codec, look.spec)
    if known != (evidence.gate, evidence.k, hashes.codec or "", hashes.spec):
        raise DoesNotHoldError(
            "the look that the evidence names is of another gate, k, codec or spec"
        )
    if evidence.verdict is Verdict.PASS and facts.look in late:
        raise DoesNotHoldError("alpha does not pay for this look any more")
    if drawn := evidence.task.get("drawn"):
        line = next((one for one in ledger.lines if one.hash == drawn), None)
        wanted = {
            "codec": hashes.codec or "",
            "spec": hashes.spec,
            "seed": evidence.task.get("seed"),
        }
        if line is None or not wanted.items() <= line.data.items():
            raise DoesNotHoldError("the ledger has drawn no such seed for this codec and spec")
    return f"{facts.lines} lines when the verdict was entered, {len(ledger.lines)} now"


STEPS: Mapping[str, Callable[[Case], str]] = {
    "validity checks": _checks,
    "outcomes": _outcomes,
    "hashes": _hashes,
    "spec": _spec_hash,
    "verdict": _verdict,
    "ledger": _ledger,
}
