"""Numerical noise is measured in every run; claims stay clear of it, and faults do not widen it."""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from small_run import Silent, written

from lpca.api import GateRun, run_gate
from lpca.base.hashing import with_hash
from lpca.evaluation.block import Computed, Job, run_block
from lpca.evaluation.conditions import Setting
from lpca.evaluation.evaluate import evaluate
from lpca.evaluation.noise import Rereadings, deciding_gap, explained, quantile
from lpca.evaluation.outcome import NEAR_TIE, Outcome
from lpca.evaluation.sampled import SURE, Greedy
from lpca.evidence.json_form import EvidenceError
from lpca.judge.stored import stored_evidence
from lpca.receivers.model import Receiver
from lpca.report.attempts.kept import compact
from lpca.tasks.kinds.trip import Trip

CONDITIONS, N, BATCH = ("p0", "p1"), 12, 6


class Read:
    """Outcomes of a few episodes, and what reads them again, with the right option's lead moved."""

    def __init__(self, receiver: Receiver, folder: Path, by: float = 0.0) -> None:
        self.by, self.rows = by, list[int]()
        self.setting = Setting(receiver, None, Trip().evaluation_set("test", "seen", N, 0))
        self.outcomes = evaluate(self.setting, CONDITIONS, folder, BATCH).outcomes
        self.again = Rereadings(self.run_block, batch_size=BATCH)

    def noise(self, n: int = N) -> dict[str, float]:
        part = replace(self.setting, episodes=self.setting.episodes.part(0, n))
        return self.again.noise(part, {name: own[:n] for name, own in self.outcomes.items()})

    def run_block(self, receiver: Receiver, jobs: Sequence[Job], batch_size: int) -> Computed:
        self.rows.append(len(jobs[0].episodes))
        for job, records in run_block(receiver, jobs, batch_size):
            # alone it reads p1 otherwise
            off = self.by if len(records) == 1 and job.condition == "p1" else 0.0
            yield job, tuple(moved(record, off) for record in records)


def moved(record: Outcome, by: float) -> Outcome:
    scores = list(record.scores)
    scores[record.answer] += by
    return replace(record, scores=tuple(scores))


@pytest.fixture
def sound(llama: Receiver, tmp_path: Path) -> Read:
    return Read(llama, tmp_path)


def test_float32_has_none_worth_naming(sound: Read) -> None:
    assert sound.noise() == {"p0": NEAR_TIE, "p1": NEAR_TIE}
    assert 1 in sound.rows, "some are read alone"
    assert {*sound.rows} - {1}, "and some together"
    assert BATCH not in sound.rows, "in batches of another size"
    assert sum(sound.rows) == len(CONDITIONS) * N, "fewer than are wanted: all, a sample each"


def test_it_is_what_readings_differ_by_by_condition(llama: Receiver, tmp_path: Path) -> None:
    found = Read(llama, tmp_path, by=0.25).noise()
    assert found["p1"] == pytest.approx(0.25, abs=1e-4)
    assert found["p0"] == NEAR_TIE


def test_a_later_look_keeps_what_was_read(sound: Read) -> None:
    sound.noise(N - 4)
    before = sum(sound.rows)
    sound.noise()
    assert sum(sound.rows) - before == len(CONDITIONS) * 4
    after = list(sound.rows)
    sound.noise()
    assert sound.rows == after


def test_a_look_under_more_conditions_reads_them_all(sound: Read) -> None:
    own = {"p0": sound.outcomes["p0"]}
    assert sound.again.noise(sound.setting, own) == {"p0": NEAR_TIE}
    assert sound.noise() == {"p0": NEAR_TIE, "p1": NEAR_TIE}


def test_what_the_precision_explains_is_no_matter_of_the_run(sound: Read) -> None:
    """Not of what computes its outcomes, and the receiver is left as it was."""
    receiver = sound.setting.receiver
    before = receiver.state_hash()
    found = explained(sound.setting)
    assert 0.0 < found < 1e-3
    assert explained(sound.setting) == found
    assert receiver.state_hash() == before


def test_the_quantile_is_exceeded_no_more_often_than_said() -> None:
    assert quantile([3.0, 1.0, 2.0], 0.99) == 3.0
    assert quantile([float(i) for i in range(999)], 0.99) == 989.0


def test_what_b_says_is_decided_by_its_closest_token() -> None:
    greedy = Greedy(2)
    assert [greedy(0, torch.tensor(row)) for row in ([1.0, 4.0], [2.5, 2.0])] == [1, 0]
    assert greedy(0, torch.tensor([7.0, 7.0])) == 0, "of equal ones the first"
    assert greedy.slack == [0.0, SURE]
    assert greedy(1, torch.tensor([1.0, 4.0, 3.0])) == 1
    assert greedy.slack[1] == 0.5


def coarse(folder: Path, cache: str, score: str = "likelihood") -> GateRun:
    (folder / cache).mkdir()
    path = written(folder / cache, "trip", f"score: {score}")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LPCA_CACHE", str(folder / cache))
        return run_gate(
            "base", receiver="stub", device="cpu", dtype="bfloat16", spec=path, console=Silent()
        )


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> GateRun:
    return coarse(tmp_path_factory.mktemp("coarse"), "a")


def test_bfloat16_gives_a_valid_verdict_twice_the_same(run: GateRun, tmp_path: Path) -> None:
    assert run.verdict == "PASS", str(run)
    assert run.found.receiver.dtype == "bfloat16"
    assert not run.found.failed_checks
    again = coarse(tmp_path, "b").found
    assert again.episodes == run.found.episodes, "to the last bit"
    told = [[(one.message, one.p_pass) for one in held.criteria] for held in (again, run.found)]
    assert told[0] == told[1]
    for name, numbers in run.found.conditions.items():
        assert numbers.noise == again.conditions[name].noise >= NEAR_TIE
        assert numbers.undecided == 0


def test_what_is_said_keeps_by_how_much(tmp_path: Path) -> None:
    found = coarse(tmp_path, "greedy", "greedy").found
    assert not found.failed_checks
    for episode in found.episodes:
        assert all(0.0 <= one.slack <= SURE for one in episode.outcomes.values())
    assert stored_evidence(found.data) == found


def within(run: GateRun, noise: float) -> dict[str, object]:
    """The run's evidence as it would be with so much noise under p1."""
    data = deepcopy(dict(run.found.data))
    marked = 0
    for episode in data["episodes"]:
        one = episode["outcomes"]["p1"]
        rivals = [s for i, s in enumerate(one["scores"]) if i != episode["answer"]]
        if abs(one["scores"][episode["answer"]] - max(rivals)) <= noise:
            one["undecided"] = 2
            marked += 1
    data["conditions"]["p1"] |= {"noise": noise, "undecided": marked}
    return data


def test_kept_outcomes_within_the_noise_decide_once_more(run: GateRun) -> None:
    every = within(run, 1e3)
    with pytest.raises(EvidenceError, match=r"text_helps\.verdict is 'PASS'; it comes to 'INCONC"):
        stored_evidence(with_hash(every))
    few = within(run, 1e-3)
    assert stored_evidence(with_hash(few)).verdict == "PASS"


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"noise": 1e3}, "undecided are not the outcomes within the noise"),
        ({"undecided": 3}, "noise.p1 is 3; it comes to 0"),
        ({"noise": None}, "some conditions have no noise"),
    ],
)
def test_noise_that_contradicts_the_outcomes_is_refused(
    run: GateRun, change: dict[str, object], says: str
) -> None:
    data = deepcopy(dict(run.found.data))
    data["conditions"]["p1"] |= change
    with pytest.raises(EvidenceError, match=says):
        stored_evidence(with_hash(data))


def test_a_record_keeps_what_is_undecided(run: GateRun) -> None:
    kept = compact(run.found)
    one = kept.episodes[0].outcomes["p1"]
    marked = replace(
        kept.episodes[0], outcomes={**kept.episodes[0].outcomes, "p1": replace(one, undecided=2)}
    )
    assert compact(replace(kept, episodes=(marked,))).episodes[0].outcomes["p1"].undecided == 2
    assert stored_evidence(kept.data) == kept


def test_evidence_without_noise_is_read_as_before_if_it_is_older(run: GateRun) -> None:
    data = deepcopy(dict(run.found.data))
    for numbers in data["conditions"].values():
        del numbers["noise"], numbers["undecided"]
    with pytest.raises(EvidenceError, match="no noise is said under p0, p1"):
        stored_evidence(with_hash(data))
    data["versions"]["lpca"] = "0.0.9"
    found = stored_evidence(with_hash(data))
    assert (found.verdict, found.conditions["p1"].noise) == ("PASS", None)


def test_a_gap_that_was_not_read_is_not_within_any_noise(sound: Read) -> None:
    record = sound.outcomes["p0"][0]
    assert deciding_gap(record, "likelihood") == record.gap
    assert deciding_gap(record, "greedy") == record.slack
    assert deciding_gap(replace(record, slack=None), "greedy") == float("inf")
