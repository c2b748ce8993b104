"""`lpca verify`: what of a verdict can be computed again from its evidence."""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lpca.base.errors import ExitCode
from lpca.base.hashing import hash_data
from lpca.base.registry import declared
from lpca.evidence.files import read_evidence
from lpca.evidence.json_form import to_data
from lpca.evidence.model import CriterionResult, EpisodeOutcome, Evidence, KeptEpisode
from lpca.gatespec.load import load_spec
from lpca.gatespec.model import LATENT, Spec
from lpca.judge.decide import explored, judge, judge_required
from lpca.judge.outcomes import OutcomeTable
from lpca.judge.reader import contradictions, table_of_evidence
from lpca.stats.verdicts import Verdict

if TYPE_CHECKING:
    from lpca.validity.ledger_file import LedgerFile

CLOSE = 1e-9
"""How far two computations of one number may lie apart, relatively."""
PROBABILITIES = (".p_pass", ".p_fail")
TINY, TINY_P = 1e-12, 1e-300
"""What lies below is nothing: rounding leaves so much of a zero. Of p-values it may count."""


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
    from lpca.validity.catalogue import unexplained

    evidence = case.evidence
    done = {check.id for check in evidence.checks}
    if missing := [name for name in declared("lpca.validity.checks") if name not in done]:
        raise DoesNotHoldError(f"not carried out: {', '.join(missing)}")
    if silent := unexplained(evidence.checks, evidence.conditions):
        raise DoesNotHoldError(f"said not to apply, and they do: {', '.join(silent)}")
    failed = [check.id for check in evidence.failed_checks]
    if failed and not evidence.is_invalid:
        raise DoesNotHoldError(f"{failed[0]} failed, and the verdict is {evidence.verdict}")
    return f"{len(done)} were carried out, {len(failed)} failed"


def _outcomes(case: Case) -> str:
    from lpca.evaluation.condition_numbers import counted

    evidence = case.evidence
    names = set(evidence.conditions)
    if odd := [one.seed for one in evidence.episodes if set(one.outcomes) != names]:
        raise DoesNotHoldError(f"its outcomes are of other conditions: episode {odd[0]}")
    for fault in contradictions(evidence):
        raise DoesNotHoldError(fault)
    for episode in evidence.episodes:
        for name, found in episode.outcomes.items():
            said = _named_right(episode, found)
            if said is not None and said != found.greedy:
                raise DoesNotHoldError(
                    f"greedy outcome under {name} is not what was said: episode {episode.seed}"
                )
    if missing := [one.seed for one in evidence.episodes if not _is_scored(evidence, one)]:
        raise DoesNotHoldError(f"the options' scores are not kept: episode {missing[0]}")
    for name, numbers in evidence.conditions.items():
        kept = [episode.outcomes[name] for episode in evidence.episodes]
        due = counted(name, kept, evidence.confidence, evidence.score)
        _hold({key: getattr(numbers, key) for key in due}, due, name)
    return f"{len(evidence.episodes)} episodes, each as its scores say"


def _is_scored(evidence: Evidence, episode: KeptEpisode) -> bool:
    """Whether likelihoods that count can be read; a record has a hash in their place."""
    if evidence.score != "likelihood" or episode.content_sha256:
        return True
    count = len(episode.options)
    return count > 0 and all(len(one.scores) == count for one in episode.outcomes.values())


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
    evidence, spec = case.evidence, _spec(case)
    if spec.sha256 != evidence.hashes.spec:
        raise DoesNotHoldError(f"{case.spec} is not the spec that was loaded")
    if evidence.gate not in spec.gates:
        raise DoesNotHoldError(f"{case.spec} has no gate {evidence.gate}")
    gate, task, evaluation = spec.gates[evidence.gate], spec.task, spec.evaluation
    due = {
        "title": gate.title,
        "answers": gate.answers,
        "score": evaluation.score,
        "normalised": "" if evaluation.normalised == "none" else evaluation.normalised,
        "confidence": evaluation.confidence,
        "any_of_k": gate.family if gate.any_k else (),
        "shown_with": gate.shown_with,
    }
    _hold({name: getattr(evidence, name) for name in due}, due, "spec")
    of_task = {"name": task.name, "seed": task.seed, **task.settings}
    told = dict(evidence.task)
    if task.drawn and not evidence.split:
        # the ledger has the seed that was drawn
        if not told.pop("drawn", None):
            raise DoesNotHoldError("the seed is to be drawn, and no line of the ledger is named")
        of_task["seed"] = told.get("seed", "")
    _hold(told, of_task, "task")
    return f"{case.spec} is the spec that was loaded"


def _verdict(case: Case) -> str:
    evidence, spec = case.evidence, _spec(case)
    spec = spec.on_at_most(evidence.gate, evidence.looks.declared)
    gate, table = spec.gates[evidence.gate], table_of_evidence(evidence)
    named, due = ([one.id for one in held.criteria] for held in (evidence, gate))
    if named != due:
        raise DoesNotHoldError(f"its criteria are {named}; the spec's are {due}")
    read = [one.id for one in evidence.criteria if not _left_out(one, table)]
    faults = [f"{check.id}: {check.detail}" for check in evidence.failed_checks]
    result = judge(spec, gate.name, table, read, faults)
    required = [judge_required(spec, gate, name, table) for name in gate.requires]
    if evidence.split:
        result, required = explored(result), list(map(explored, required))
    for told, found in zip(evidence.criteria, result.criteria, strict=True):
        _hold(told, found, told.id)
    _hold(evidence.result, result, gate.name)
    _hold(evidence.required, required, "required")
    return f"{gate.name} comes to {evidence.verdict} once more"


def _left_out(told: CriterionResult, table: OutcomeTable) -> bool:
    """Whether the run had no test for a criterion, whose outcomes are there."""
    measured = all(name in table.outcomes for name in told.claim.conditions)
    return told.verdict is Verdict.NOT_MEASURED and measured


def _hold(told: object, due: object, place: str) -> None:
    """Raise DoesNotHoldError for the first value that is not what it comes to."""
    _compare(to_data(told), to_data(due), place)


def _compare(told: Any, due: Any, place: str) -> None:
    if isinstance(told, dict) and isinstance(due, dict):
        # a spec may have stood elsewhere
        for name in sorted({*told, *due} - {"file"}):
            _compare(told.get(name), due.get(name), f"{place}.{name}")
    elif isinstance(told, list) and isinstance(due, list) and len(told) == len(due):
        for index, pair in enumerate(zip(told, due, strict=True)):
            _compare(*pair, f"{place}[{index}]")
    elif not _is_same(told, due, TINY_P if place.endswith(PROBABILITIES) else TINY):
        raise DoesNotHoldError(f"{place} is {told!r:.200}; it comes to {due!r:.200}")


def _is_same(told: Any, due: Any, tiny: float) -> bool:
    if isinstance(told, float) and isinstance(due, float | int):
        return math.isclose(told, due, rel_tol=CLOSE, abs_tol=tiny)
    return bool(told == due)


def _ledger(case: Case) -> str:
    from lpca.validity.ledger import family_of, looks_of, unpaid
    from lpca.validity.ledger_file import LedgerError, LedgerFile

    evidence, facts = case.evidence, case.evidence.ledger
    if facts is None:
        latent = evidence.k is not None or any(name in LATENT for name in evidence.conditions)
        if latent and not evidence.split and not evidence.is_invalid:
            raise DoesNotHoldError("a codec was judged on test episodes, and no ledger is named")
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
    assert look is not None, "its gate would be unknown"
    if look.receiver != hashes.receiver:
        raise DoesNotHoldError("the receiver's hash is not that of the look")
    whole = evidence.looks.used == evidence.looks.declared
    # a look by an earlier version has no hash of its episodes
    if whole and look.episodes and look.episodes != hashes.episodes:
        raise DoesNotHoldError("the episodes' hash is not that of the look")
    then = _named_by(ledger, facts.heads)
    before = _named_by(ledger, [facts.look])
    earlier = [entry for line, entry in looks.items() if line in before - {facts.look}]
    due = {
        "lines": len(then),
        "share": look.share,
        "spent": family_of(look, earlier).spent,
        "look": facts.look if facts.look in then else None,
    }
    _hold({name: getattr(facts, name) for name in due}, due, "ledger")
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


def _named_by(ledger: LedgerFile, heads: Sequence[str]) -> set[str]:
    """The hashes of some lines and of all that they came after: the ledger as it was then."""
    found = set(heads)
    # a line stands behind all that it names
    for line in reversed(ledger.lines):
        if line.hash in found:
            found.update(line.previous)
    return found


STEPS: Mapping[str, Callable[[Case], str]] = {
    "validity checks": _checks,
    "outcomes": _outcomes,
    "hashes": _hashes,
    "spec": _spec_hash,
    "verdict": _verdict,
    "ledger": _ledger,
}
