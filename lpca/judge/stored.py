"""Stored evidence is believed as far as it comes to the same once more, from its own outcomes.

A hash of its content tells what was damaged; whoever edits a file can make that hash anew, but not
outcomes, counts, checks and verdicts that contradict one another. No model is needed for any of it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lpca.base.errors import UserError
from lpca.base.files import read_json
from lpca.base.hashing import hash_data
from lpca.evidence.files import has_hash, parse_altered, refuse_altered
from lpca.evidence.json_form import EvidenceError, to_data
from lpca.evidence.model import (
    CriterionResult,
    EpisodeOutcome,
    Evidence,
    GateResult,
    KeptEpisode,
)
from lpca.gatespec.claims import parse_claim
from lpca.gatespec.model import (
    Criterion,
    Evaluation,
    Gate,
    Position,
    Sequential,
    Spec,
    TaskSpec,
)
from lpca.judge.age import (
    DoesNotHoldError,
    age_in_words,
    hold_checks,
    hold_failed,
    hold_noise,
    is_own,
    is_present,
)
from lpca.judge.decide import explored, judge, judge_required
from lpca.judge.looks import look_sizes
from lpca.judge.outcomes import OutcomeTable, clusters_of
from lpca.judge.reader import contradictions, table_of_evidence
from lpca.judge.rounding import Read, undecided_of
from lpca.judge.successes import counted, named_option
from lpca.stats.claims import Band, Equivalence
from lpca.stats.verdicts import Verdict

if TYPE_CHECKING:
    from lpca.stats.clusters import Clusters

CLOSE = 1e-9
"""How far two computations of one number may lie apart, relatively."""
PROBABILITIES = (".p_pass", ".p_fail")
TINY, TINY_P, TINY_LIMIT = 1e-12, 1e-300, 1e-8
"""What lies below is nothing: rounding leaves so much of a zero. Of p-values it may count; the
limits of an interval over groups are searched for, to 2^-30 of their range.
"""
DECIDED = ("id", "verdict", "n", "table", "successes", "estimate")
"""What of a criterion's result stays the same when another version words or rounds it otherwise."""
_NOWHERE = Position("evidence", 1, 1)
_UNREAD = (Verdict.INVALID, Verdict.NOT_MEASURED)


def read_stored(
    path: Path,
    spec: Spec | None = None,
    tell: Callable[[str], None] = lambda text: None,
    present: bool = False,
) -> Evidence:
    """Read a run's evidence, whose verdict then is what its outcomes come to.

    Args:
        path: the file.
        spec: by which it was judged; without it the claims decide that the evidence repeats.
        tell: called with one line where earlier code wrote it: without a hash, or before a
            validity check existed.
        present: whether it has to be of the code as it stands, as that of a run going on.

    Raises:
        StorageError: the file is missing, unreadable or no JSON.
        EvidenceError: it is no evidence, was altered since it was written, or contradicts itself
            or the spec; the text is one line that names the file and what differs.

    Example:
        >>> from pathlib import Path
        >>> read_stored(Path("docs/experiments/gate1-attempt-04.json")).verdict
        <Verdict.PASS: 'PASS'>
    """
    data = read_json(path)
    try:
        found = stored_evidence(data, spec, present)
    except EvidenceError as error:
        raise EvidenceError(f"{path}: {error}") from None
    if age := age_in_words(found, has_hash(data)):
        tell(f"{path}: {age}")
    return found


def stored_evidence(data: Any, spec: Spec | None = None, present: bool = False) -> Evidence:
    """Evidence from a file's data, as `read_stored` does."""
    evidence, is_hashed = parse_altered(data), has_hash(data)
    try:
        if present and not is_present(evidence, is_hashed):
            raise DoesNotHoldError("it was not written by the code as it stands")
        # what differs is said before that the hash does
        hold_outcomes_hash(evidence)
        if not evidence.failed_checks:
            # where one failed, outcomes may contradict themselves: they are not read
            hold_outcomes(evidence)
        hold_noise(evidence, is_hashed)
        whole = is_own(evidence, is_hashed)
        if whole:
            hold_checks(evidence, is_hashed)
            # of older code, words and numbers may be others
            whole = not age_in_words(evidence, is_hashed)
        hold_failed(evidence)
        if spec is not None:
            hold_spec(evidence, spec)
        hold_verdict(evidence, spec, whole=whole and spec is not None)
    except EvidenceError:
        raise
    except (UserError, LookupError, TypeError, ValueError, ArithmeticError) as error:
        refuse_altered(data)
        reason = " ".join(str(error).split())
        raise DoesNotHoldError(f"it cannot be decided again: {reason}") from None
    refuse_altered(data)
    return evidence


def hold_outcomes(evidence: Evidence) -> None:
    """Outcomes are what scores and answers say, and the conditions' numbers what they come to.

    Raises:
        DoesNotHoldError: for the first that is not.
    """
    _hold_conditions(evidence)
    for fault in contradictions(evidence):
        raise DoesNotHoldError(fault)
    for episode in evidence.episodes:
        for name, found in episode.outcomes.items():
            if len(found.readings) != (evidence.repeats or 1):
                raise DoesNotHoldError(
                    f"{len(found.readings)} answers under {name} of {evidence.repeats or 1}: "
                    f"episode {episode.seed}"
                )
            for one in found.readings:
                said = _named_right(episode, one)
                if said is not None and said != one.greedy:
                    raise DoesNotHoldError(
                        f"greedy outcome under {name} is not what was said: episode {episode.seed}"
                    )
    _hold_undecided(evidence)
    if missing := [one.seed for one in evidence.episodes if not _is_scored(evidence, one)]:
        raise DoesNotHoldError(f"the options' scores are not kept: episode {missing[0]}")
    if not evidence.episodes:
        raise DoesNotHoldError("no episode is kept")
    table, cluster = table_of_evidence(evidence), evidence.cluster
    for name in evidence.conditions:
        kept = [episode.outcomes[name] for episode in evidence.episodes]
        # older evidence takes each episode for itself
        _hold_numbers(
            evidence, name, kept, clusters_of(table, [name], cluster) if cluster else None
        )


def _hold_undecided(evidence: Evidence) -> None:
    """Raise DoesNotHoldError where what lies within the noise is not said to, or else is.

    Evidence that does not say how much noise there is has nothing undecided. A record keeps no
    scores: of its outcomes those that are marked are counted.
    """
    told = {name: numbers.noise for name, numbers in evidence.conditions.items()}
    noise = {name: held for name, held in told.items() if held is not None}
    if 0 < len(noise) < len(told):
        raise DoesNotHoldError("some conditions have no noise")
    marked = dict.fromkeys(evidence.conditions, 0)
    for episode in evidence.episodes:
        for answers in zip(*(one.readings for one in episode.outcomes.values()), strict=False):
            own = dict(zip(episode.outcomes, answers, strict=True))
            numbers = {name: one.undecided for name, one in own.items() if one.undecided}
            for name in numbers:
                marked[name] += 1
            reads = {name: _read(evidence, episode, one) for name, one in own.items()}
            known = {name: read for name, read in reads.items() if read is not None}
            if len(known) == len(own) and noise and numbers != undecided_of(known, noise):
                raise DoesNotHoldError(
                    f"undecided are not the outcomes within the noise: episode {episode.seed}"
                )
    if not noise and any(marked.values()):
        raise DoesNotHoldError("outcomes are undecided, and no condition says how much noise")
    due = {name: marked[name] if noise else None for name in marked}
    hold({name: numbers.undecided for name, numbers in evidence.conditions.items()}, due, "noise")


def _read(evidence: Evidence, episode: KeptEpisode, one: EpisodeOutcome) -> Read | None:
    """An answer with what decides it; None where that is not kept."""
    gap = one.slack
    if evidence.score == "likelihood":
        ranks = one.ranked or one.scores
        if episode.answer is None or len(ranks) < 2:
            return None
        rivals = [rank for i, rank in enumerate(ranks) if i != episode.answer]
        gap = ranks[episode.answer] - max(rivals)
    if gap is None or one.prompt_sha256 is None:
        return None
    return Read(one.success(evidence.score), gap, one.prompt_sha256, one.slot_sha256 or "")


def _hold_conditions(evidence: Evidence) -> None:
    for episode in evidence.episodes:
        for name in episode.outcomes:
            if name not in evidence.conditions:
                raise DoesNotHoldError(
                    f"conditions lacks {name:.40}, yet episode {episode.seed} has it"
                )
        if len(episode.outcomes) < len(evidence.conditions):
            raise DoesNotHoldError(f"episode {episode.seed} lacks outcomes of a condition")


def _hold_numbers(
    evidence: Evidence, name: str, kept: Sequence[EpisodeOutcome], clusters: Clusters | None
) -> None:
    """Raise DoesNotHoldError where a condition's numbers are not what its outcomes come to."""
    due = counted(name, kept, evidence.confidence, evidence.score, clusters)
    if all(one.credit is None for one in kept):
        # a record of before has none
        del due["credit"]
    numbers = evidence.conditions[name]
    hold({key: getattr(numbers, key) for key in due}, due, name)


def _is_scored(evidence: Evidence, episode: KeptEpisode) -> bool:
    """Whether likelihoods that count can be read; a record has a hash in their place."""
    if evidence.score != "likelihood" or episode.content_sha256:
        return True
    count = len(episode.options)
    return count > 0 and all(len(one.scores) == count for one in episode.outcomes.values())


def _named_right(episode: KeptEpisode, found: EpisodeOutcome) -> bool | None:
    """Whether what was said names the right option; None where that is not kept."""
    if found.credit is not None:
        return found.credit == 1.0
    if found.said is None or not episode.options or episode.answer is None:
        return None
    return named_option(found.said, episode.options)[0] == episode.answer


def hold_outcomes_hash(evidence: Evidence) -> None:
    """Raise DoesNotHoldError where the outcomes are not those that were measured."""
    _hold_conditions(evidence)
    kept = {
        name: [
            [one.seed, answer.likelihood, answer.greedy]
            for one in evidence.episodes
            for answer in one.outcomes[name].readings
        ]
        for name in evidence.conditions
    }
    if hash_data(kept) != evidence.hashes.outcomes:
        raise DoesNotHoldError("its outcomes are not those it was written with")


def hold_spec(evidence: Evidence, spec: Spec) -> None:
    """Raise DoesNotHoldError where the evidence is of another spec, or says otherwise than it."""
    if spec.sha256 != evidence.hashes.spec:
        raise DoesNotHoldError(f"{spec.file} is not the spec that was loaded")
    if evidence.gate not in spec.gates:
        raise DoesNotHoldError(f"{spec.file} has no gate {evidence.gate}")
    gate, task, evaluation = spec.gates[evidence.gate], spec.task, spec.evaluation
    due = {
        "title": gate.title,
        "answers": gate.answers,
        "score": evaluation.score,
        "normalised": "" if evaluation.normalised == "none" else evaluation.normalised,
        "temperature": evaluation.temperature,
        "repeats": None if evaluation.repeats == 1 else evaluation.repeats,
        "confidence": evaluation.confidence,
        "prompt": spec.prompt.facts,
        "any_of_k": gate.family if gate.any_k else (),
        "shown_with": gate.shown_with,
    }
    if evidence.cluster:
        due["cluster"] = evaluation.cluster
    hold({name: getattr(evidence, name) for name in due}, due, "spec")
    of_task = {"name": task.name, "seed": task.seed, **task.settings}
    told = dict(evidence.task)
    if task.drawn and not evidence.split:
        # the ledger has the seed that was drawn
        if not told.pop("drawn", None):
            raise DoesNotHoldError("the seed is to be drawn, and no line of the ledger is named")
        of_task["seed"] = told.get("seed", "")
    hold(told, of_task, "task")


def hold_verdict(evidence: Evidence, spec: Spec | None = None, whole: bool = True) -> None:
    """Raise DoesNotHoldError where verdicts are not what the outcomes come to.

    Args:
        evidence: what was measured.
        spec: that decides; without it the claims that the evidence repeats, at the confidence and
            over the groups that it names. A gate with a stopping rule is then decided where each
            claim has one bound.
        whole: whether every number and word of a result must be the same, as this version has it.
    """
    repeated = spec is None
    spec = _repeated(evidence) if spec is None else spec
    if spec is None:
        return
    spec = _by_its_rules(spec, evidence)
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
    compared = _hold_whole if whole else _hold_decided
    compared(evidence.result, result)
    if not (repeated and len(required) < len(evidence.required)):
        hold([one.name for one in evidence.required], [one.name for one in required], "required")
        for told, found in zip(evidence.required, required, strict=True):
            compared(told, found)


def _by_its_rules(spec: Spec, evidence: Evidence) -> Spec:
    """The spec with the stopping rules as they were when the evidence was decided."""
    if evidence.looks.equivalences:
        return spec
    gates = dict(spec.gates)
    for name, gate in spec.gates.items():
        if gate.sequential is not None:
            waiting = replace(gate.sequential, equivalences_wait=True)
            gates[name] = replace(gate, sequential=waiting)
    return replace(spec, gates=gates)


def _left_out(told: CriterionResult, table: OutcomeTable) -> bool:
    """Whether the run had no test for a criterion, whose outcomes are there."""
    measured = all(name in table.outcomes for name in told.claim.conditions)
    return told.verdict is Verdict.NOT_MEASURED and measured


def _hold_whole(told: GateResult, due: GateResult) -> None:
    for one, found in zip(told.criteria, due.criteria, strict=True):
        hold(one, found, one.id)
    hold(told, due, told.name)


def _hold_decided(told: GateResult, due: GateResult) -> None:
    """What another version would have come to as well."""
    for one, found in zip(told.criteria, due.criteria, strict=True):
        # as a file holds them: an infinite estimate is null there
        held, computed = to_data(one), to_data(found)
        for name in DECIDED:
            _compare(held.get(name), computed.get(name), f"{told.name}: {one.id}.{name}")
    hold(told.verdict, due.verdict, f"{told.name}: verdict")


def _repeated(evidence: Evidence) -> Spec | None:
    """A spec of the claims that evidence repeats; None where they do not say all that decides."""
    own, looks = evidence.result, evidence.looks
    for one in (own, *evidence.required):
        for told in one.criteria:
            if parse_claim(told.text) != told.claim:
                raise DoesNotHoldError(
                    f"{told.id}: its parts are not those of the claim {told.text}"
                )
    unread = [one for one in evidence.required if one.verdict in _UNREAD]
    if unread and not evidence.failed_checks:
        # why is in gates before it, which are not kept
        if own.verdict not in _UNREAD:
            raise DoesNotHoldError(
                f"{unread[0].name} is {unread[0].verdict}, and the verdict is {own.verdict}"
            )
        return None
    required = evidence.required
    rule = None
    if looks.rule is not None:
        rule = _rule(evidence)
        # at what level a band is read at looks is not kept, nor how an equivalence was of old
        unknown = Band if looks.equivalences else Band | Equivalence
        if rule is None or any(isinstance(one.claim, unknown) for one in own.criteria):
            return None
        # by which rule a gate before it was decided is not kept
        if all(one.verdict is Verdict.PASS for one in required):
            required = ()
        elif own.verdict in _UNREAD:
            return None
    gates = [_gate(one, evidence, ()) for one in required]
    main = replace(_gate(own, evidence, [one.name for one in required]), sequential=rule)
    return Spec(
        "evidence",
        TaskSpec("", 0),
        Evaluation(
            looks.declared,
            evidence.score,
            evidence.confidence,
            evidence.confidence,
            1,
            repeats=evidence.repeats or 1,
        ),
        {one.name: one for one in (main, *gates)},
    )


def _rule(evidence: Evidence) -> Sequential | None:
    """The stopping rule that has the looks of the evidence; None where none has."""
    looks = evidence.looks
    assert looks.rule is not None
    if not looks.sizes:
        return None
    tried = (
        Sequential(looks.rule, block=looks.sizes[0]),
        Sequential(looks.rule, looks=len(looks.sizes)),
    )
    fitting = [one for one in tried if tuple(look_sizes(one, looks.declared)) == looks.sizes]
    return fitting[0] if fitting else None


def _gate(told: GateResult, evidence: Evidence, requires: Sequence[str]) -> Gate:
    criteria = tuple(_criterion(one, evidence) for one in told.criteria)
    here = criteria[0].position if criteria else _NOWHERE
    conditions = tuple(evidence.conditions)
    return Gate(told.name, "", "all", tuple(requires), (), conditions, criteria, {}, here)


def _criterion(told: CriterionResult, evidence: Evidence) -> Criterion:
    # answers of one episode are a group, also where episodes are none
    own = evidence.repeats is not None and evidence.cluster == "none"
    is_single = told.grouping is None or (own and told.grouping.groups == len(evidence.episodes))
    return Criterion(
        told.id,
        told.claim,
        told.text,
        told.why,
        told.position,
        confidence=told.confidence or evidence.confidence,
        cluster="none" if is_single else "group",
        severity=told.severity or "error",
    )


def hold(told: object, due: object, place: str) -> None:
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
    elif not _is_same(told, due, _tiny(place)):
        raise DoesNotHoldError(f"{place} is {told!r:.200}; it comes to {due!r:.200}")


def _tiny(place: str) -> float:
    if ".interval[" in place:
        return TINY_LIMIT
    return TINY_P if place.endswith(PROBABILITIES) else TINY


def _is_same(told: Any, due: Any, tiny: float) -> bool:
    if isinstance(told, float) and isinstance(due, float | int):
        return math.isclose(told, due, rel_tol=CLOSE, abs_tol=tiny)
    return bool(told == due)
