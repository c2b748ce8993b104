"""Two and three runs at once, in every combination of shared folder, cache and ledger."""

from __future__ import annotations

import itertools
import re
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import faulty
import pytest
from faulty import Ran, contents, finish, gates, leftovers, lpca, run, start
from test_faults import GRID, RECIPE, SPEC, TRAIN

from lpca.evidence.files import read_evidence
from lpca.validity.ledger import last_verdicts, looks_of, unpaid
from lpca.validity.ledger_file import LedgerFile

PAID = 2
"""How many codecs the spec pays for."""
SHARES = [
    tuple(name for name, shared in zip(("folder", "cache", "ledger"), own, strict=True) if shared)
    for own in itertools.product([False, True], repeat=3)
]
ENDED = (0, 1, 6)
INVALID = 7


class Bench:
    """Three codecs, and what each comes to alone."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.ready = faulty.project(
            folder / "ready", SPEC.replace("checkpoints: 4", f"checkpoints: {PAID}")
        )
        (self.ready / "recipe.yaml").write_text(RECIPE)
        for seed in range(3):
            ran = run(self.ready, lpca(*TRAIN, f"codec-{seed}", "--seed", str(seed)))
            assert ran.code == 0, ran.said
        shutil.rmtree(self.ready / "cache")
        alone = [self.fresh(f"alone-{seed}") for seed in range(3)]
        self.alone = [run(alone[seed], gate(seed)) for seed in range(3)]
        assert all(ran.code in ENDED for ran in self.alone), self.alone[0].said
        self._count = itertools.count()

    def fresh(self, name: str) -> Path:
        """A project of its own."""
        return Path(shutil.copytree(self.ready, self.folder / name))

    def at_once(self, shared: tuple[str, ...], seeds: tuple[int, ...]) -> list[str]:
        """Judge codecs at once; what is wrong."""
        place = self.folder / f"round-{next(self._count)}"
        projects, started = [], []
        for index in range(len(seeds)):
            own = self.fresh(f"{place.name}/{index}")
            for name, within in {"folder": "evidence", "ledger": "ledger"}.items():
                if name in shared:
                    (place / within).mkdir(exist_ok=True)
                    (own / ".lpca").mkdir(exist_ok=True)
                    (own / ".lpca" / within).symlink_to(place / within)
            projects.append(own)
        for own, seed in zip(projects, seeds, strict=True):
            cache = place / "cache" if "cache" in shared else own / "cache"
            started.append(start(own, gate(seed), cache=cache))
            time.sleep(0.02)
        ran = [finish(child) for child in started]
        wrong = self._wrong(shared, seeds, projects, ran)
        wrong += [f"left behind: {one}" for one in leftovers(place)]
        shutil.rmtree(place)
        return wrong

    def _wrong(
        self, shared: tuple[str, ...], seeds: tuple[int, ...], projects: list[Path], ran: list[Ran]
    ) -> list[str]:
        wrong = []
        codecs = len(set(seeds)) if "ledger" in shared else 1
        invalid = sum(one.code == INVALID for one in ran)
        # in series the codecs beyond what is paid for are refused, each as often as it is shown
        late = max(0, codecs - PAID)
        if invalid != late:
            wrong.append(f"{invalid} of {len(ran)} runs are INVALID, in series {late}")
        for one, seed in zip(ran, seeds, strict=True):
            if one.code != INVALID and (one.code, told(one)) != (
                self.alone[seed].code,
                told(self.alone[seed]),
            ):
                wrong.append(f"codec {seed}: {one.code}, alone {self.alone[seed].code}: {one.said}")
        entered: dict[str, str] = {}
        for own in projects:
            ledger = LedgerFile.read(own / ".lpca" / "ledger")
            looks, verdicts = looks_of(ledger), last_verdicts(ledger.lines)
            entered |= verdicts
            if len(looks) != codecs or set(verdicts) != set(looks) or len(unpaid(ledger)) != late:
                wrong.append(f"the ledger has {len(looks)} looks of {codecs} codecs, {verdicts}")
        for own in projects:
            # of the run that was the last to write there
            found = read_evidence(own / ".lpca" / "evidence" / "main-k4.json")
            assert found.ledger is not None
            if entered[found.ledger.look] != found.verdict:
                wrong.append(f"the evidence is {found.verdict}, the ledgers have {entered}")
        return wrong


def gate(seed: int) -> Callable[[], int]:
    """Judge a codec."""
    return gates("-m", "main", "--k", "4", "--checkpoint", f"codec-{seed}", "--lpca-verbose")


def told(ran: Ran) -> list[str]:
    """What a run says of its criteria, with their numbers."""
    return re.findall(r"^ *(?:above_\w+|main k=4).*$", ran.said, re.MULTILINE)


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    return Bench(tmp_path_factory.mktemp("at-once"))


def test_three_codecs_on_one_folder_cache_and_ledger(bench: Bench) -> None:
    assert bench.at_once(SHARES[-1], (0, 1, 2)) == []


@pytest.mark.slow(seconds=60)
@pytest.mark.faults
@pytest.mark.parametrize("shared", SHARES, ids=lambda shared: "-".join(shared) or "nothing")
def test_runs_at_once(bench: Bench, shared: tuple[str, ...]) -> None:
    """32 times; two of one codec are one look."""
    wrong = [bench.at_once(shared, seeds) for seeds in ((0, 1), (1, 2), (0, 1, 2), (2, 2, 0))]
    assert wrong == [[]] * 4


@pytest.mark.slow(seconds=40)
@pytest.mark.faults
@pytest.mark.parametrize("shared", [*itertools.product([False, True], repeat=2)], ids=str)
@pytest.mark.parametrize("count", [2, 3])
def test_trainings_at_once(
    tmp_path: Path, bench: Bench, shared: tuple[bool, bool], count: int
) -> None:
    """8 times: on one cache or not, of codecs that are to stand at one place or not."""
    one_cache, one_place = shared
    project = bench.fresh(f"{tmp_path.name}")
    started = [
        start(
            project,
            lpca(*TRAIN, "out" if one_place else f"out-{seed}", "--seed", str(seed)),
            cache=project / ("cache" if one_cache else f"cache-{seed}"),
        )
        for seed in range(count)
    ]
    ran = [finish(child) for child in started]
    assert [one.code for one in ran] == [0] * count, ran
    assert leftovers(project) == []
    wanted = [contents(bench.ready / f"codec-{seed}") for seed in range(count)]
    if one_place:
        assert contents(project / "out") in wanted
    else:
        assert [contents(project / f"out-{seed}") for seed in range(count)] == wanted


@pytest.mark.slow(seconds=60)
@pytest.mark.faults
@pytest.mark.parametrize("one_place", [False, True])
@pytest.mark.parametrize("count", [2, 3])
def test_laboratories_at_once(tmp_path: Path, bench: Bench, count: int, one_place: bool) -> None:
    """10 times: one grid in one folder, or in several that share cache and ledger."""
    spec = (bench.ready / "gate_specs.yaml").read_text()
    grid = GRID.replace("seeds: [0]", "seeds: [0, 1]")
    for index in range(3 if count == 2 else 2):
        project = faulty.project(tmp_path / str(index), spec)
        (project / "grid.yaml").write_text(grid)
        outs = ["out"] * count if one_place else [f"out-{one}" for one in range(count)]
        started = [start(project, lpca("lab", "grid.yaml", "--out", out)) for out in outs]
        ran = [finish(child) for child in started]
        assert [one.code for one in ran] == [0] * count, ran
        ledger = LedgerFile.read(project / ".lpca" / "ledger")
        assert len(looks_of(ledger)) == 2
        assert unpaid(ledger) == {}
        assert leftovers(project) == []
        for out in outs:
            assert len(list((project / out).glob("evidence/*/main-k4.json"))) == 2
