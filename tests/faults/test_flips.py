"""Every kind of stored file, damaged anywhere: measured again, refused by name, or the same.

A sample runs with the fast tests; `make test-faults` damages each 1,000 times, and says what came
of them.
"""

from __future__ import annotations

import json
import shutil
from random import Random
from types import SimpleNamespace

import pytest
from flips import Again, Kind, damaged, tally
from lab_project import whole_lab

from lpca.base.hashing import hash_file
from lpca.codec import store
from lpca.codec.checkpoint import MANIFEST, WEIGHTS
from lpca.codec.recipe import Recipe, Stage
from lpca.codec.store import Request, obtain_codec
from lpca.commands.cli import main
from lpca.evaluation.evaluate import load_block
from lpca.gate.plan import LEDGER, sound_spec
from lpca.judge.reader import Measured, read_outcomes
from lpca.judge.stored import read_stored
from lpca.lab.grid import read_grid
from lpca.lab.results import GridKeys, Results, without_shown_with
from lpca.receivers.smollm2 import MANIFEST as RECEIVER
from lpca.receivers.smollm2 import is_complete
from lpca.report.attempts import kept
from lpca.report.attempts.folder import Folder
from lpca.report.figures.files import sources_of
from lpca.tasks.kinds.trip import Trip
from lpca.validity.ledger_file import HEAD, LINES, LedgerFile

RECIPE = Recipe(stages=(Stage(5),), batch_size=2, warmup_steps=2, validation_every=3)
FAST, WHOLE, RUNS = 8, 1000, 8


class Place:
    """A folder with a lab that ran through, an attempt that was recorded, and codecs."""

    def __init__(self, path, whole, receiver, monkeypatch):
        self.path, self.receiver = path, receiver
        shutil.copytree(whole.path, path / "lab")
        monkeypatch.chdir(path / "lab")
        monkeypatch.setenv("LPCA_CACHE", str(path / "cache"))
        monkeypatch.setattr("lpca.report.attempts.folder.glance", lambda held: b"<svg/>")
        self.grid = read_grid("grid.yaml")
        self.spec = without_shown_with(sound_spec(self.grid.spec), self.grid.gate)
        self.out = path / "lab" / whole.out.relative_to(whole.path)
        self.table = json.loads((self.out / "table.json").read_text())
        self.evidence = self.out / self.table["codecs"][0]["evidence"]

    def read_evidence(self):
        return read_stored(self.evidence)

    def judged(self):
        found = read_outcomes(str(self.evidence))
        assert isinstance(found, Measured)
        if found.faults:
            raise Again("INVALID")
        return found

    def result(self):
        """What the lab takes from its folder."""
        cell, told = self.grid.in_order()[0], []
        run = json.loads((self.out / self.table["codecs"][1]["evidence"]).read_text())["run"]
        run = self.key or run
        keys = GridKeys({cell.label: run}, {})
        results = Results(self.grid, self.spec, self.out, keys, told.append)
        if (found := results.summary(cell)) is None:
            assert not told or str(self.evidence) in told[0]
            raise Again
        return found

    @property
    def key(self):
        return getattr(self, "_key", None)

    def whole_key(self):
        """Names the codec whose evidence is damaged."""
        self._key = json.loads(self.evidence.read_text())["run"]

    def block(self):
        path = sorted((self.path / "lab" / "cache" / "outcomes").glob("??/*.json"))[0]
        rows = json.loads(path.read_text())["outcomes"]
        job = SimpleNamespace(
            key=path.stem, episodes=[SimpleNamespace(seed=row["seed"]) for row in rows]
        )
        cache = self.path / "lab" / "cache"

        def read():
            found = load_block(cache, job)
            if found is None:
                raise Again
            # how long it took is no part of what two outcomes have in common
            return [(one, one.seconds) for one in found]

        return Kind(path, read)

    def codec(self, cut=None):
        """Obtains a codec; where that is trained anew, no more than its first step."""
        told = []

        def report(progress):
            if told or (cut is None and progress.step == 1):
                raise Again
            if progress.step == cut:
                raise KeyboardInterrupt

        request = Request(2, seed=0, recipe=RECIPE)
        found = obtain_codec(
            self.receiver, Trip(), request, self.path / "codecs", report, told.append
        )
        state = {name: value.tolist() for name, value in found.codec.state_dict().items()}
        facts = {name: held for name, held in found.facts.items() if name != "trained"}
        return state, found.identity, facts["history"]

    def checkpoint(self, name):
        for _ in range(2):
            try:
                self.codec(cut=99)
            except Again:
                pytest.fail("the first training is not disturbed")
        (folder,) = (self.path / "codecs" / "codecs").glob("*[0-9a-f]")
        return Kind(folder / name, self.codec)

    def snapshot(self, monkeypatch):
        monkeypatch.setattr(store, "SNAPSHOT_EVERY", 2)
        with pytest.raises(KeyboardInterrupt):
            self.codec(cut=4)
        (path,) = (self.path / "codecs" / "codecs").glob("*.snapshot")
        content = path.read_bytes()

        def read():
            if not path.exists():
                path.write_bytes(content)
            held = path.read_bytes()
            try:
                return self.codec(cut=99)
            finally:
                path.write_bytes(held)
                for folder in path.parent.glob("*[0-9a-f]"):
                    shutil.rmtree(folder)

        return Kind(path, read)

    def attempt(self, name):
        folder = self.path / "experiments"
        assert main(["record", str(self.evidence), "--folder", str(folder)]) == 0
        path = folder / f"{self.grid.gate}-attempt-01.{name}"

        def read():
            return kept.read(path)

        def index():
            told = []
            text = Folder(folder, told.append).write_index().read_text()
            if told:
                assert str(path) in told[0]
                raise Again
            return text

        return Kind(path, read if name == "json" else index)

    def ledger(self, name):
        folder = self.path / "lab" / LEDGER

        def read():
            found = LedgerFile.read(folder)
            return [line.text for line in found.lines], found.heads

        return Kind(folder / name, read, named=str(folder))

    def received(self, name):
        folder = self.path / "receiver"
        folder.mkdir()
        (folder / "model.safetensors").write_bytes(bytes(range(256)) * 64)
        (folder / "config.json").write_text('{"hidden_size": 64}')
        hashes = {path.name: hash_file(path) for path in folder.iterdir()}
        (folder / RECEIVER).write_text(json.dumps({"source": "s", "sha256": hashes}, indent=1))

        def read():
            if not is_complete(folder):
                raise Again
            return {path: (folder / path).read_bytes() for path in hashes}

        return Kind(folder / name, read)

    def broken(self):
        cell = self.grid.in_order()[0]
        keys = GridKeys({cell.label: "0" * 64}, {})
        results = Results(self.grid, self.spec, self.out, keys)
        results.keep_broken(cell, "CodecError: it broke")

        def read():
            fresh = Results(self.grid, self.spec, self.out, keys, _began=results._began)
            if (found := fresh.summary(cell)) is None:
                raise Again
            return found

        return Kind(results.place(cell) / "broken.json", read)


def result(place):
    place.whole_key()
    return Kind(place.evidence, place.result)


KINDS = {
    "evidence": lambda place, _: Kind(place.evidence, place.read_evidence),
    "evidence, judged": lambda place, _: Kind(place.evidence, place.judged),
    "a lab's result": lambda place, _: result(place),
    "a lab's broken codec": lambda place, _: place.broken(),
    "a lab's table": lambda place, _: Kind(place.out / "table.json", lambda: sources_of(place.out)),
    "outcome block": lambda place, _: place.block(),
    "codec's weights": lambda place, _: place.checkpoint(WEIGHTS),
    "codec's manifest": lambda place, _: place.checkpoint(MANIFEST),
    "snapshot": lambda place, monkeypatch: place.snapshot(monkeypatch),
    "ledger's lines": lambda place, _: place.ledger(LINES),
    "ledger's head": lambda place, _: place.ledger(HEAD),
    "attempt's record": lambda place, _: place.attempt("json"),
    "attempt's page": lambda place, _: place.attempt("md"),
    "attempt's picture": lambda place, _: place.attempt("svg"),
    "receiver's weights": lambda place, _: place.received("model.safetensors"),
    "receiver's manifest": lambda place, _: place.received(RECEIVER),
}


@pytest.fixture
def place(lpca_cache, llama, tmp_path, monkeypatch):
    return Place(tmp_path, whole_lab(lpca_cache), llama, monkeypatch)


@pytest.mark.parametrize(
    "count", [FAST, pytest.param(WHOLE, marks=[pytest.mark.slow, pytest.mark.faults])], ids=str
)
@pytest.mark.parametrize("name", KINDS)
def test_what_is_damaged_is_measured_again_refused_or_the_same(name, count, place, monkeypatch):
    found, wrong = tally(name, KINDS[name](place, monkeypatch), count)
    cells = (name, found.total(), found["same"], found["measured again"], found["refused"])
    print("| " + " | ".join(map(str, (*cells, found["wrong"]))) + " |")
    assert wrong == []


@pytest.mark.slow(seconds=120)
def test_a_run_over_damaged_files_ends_as_one_over_sound_ones(place, capsys):
    random = Random("runs over damaged files")
    lab = place.path / "lab"
    sound = {
        path: path.read_bytes()
        for folder in (lab / "cache", lab / LEDGER)
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.suffix != ".lock"
    }
    results = {place.out / codec["evidence"] for codec in place.table["codecs"]}
    sound |= {path: path.read_bytes() for path in results}
    others = [path for path in sound if path not in results]
    due = came_to(place.out)
    for _ in range(RUNS):
        result, other = random.choice(sorted(results)), random.choice(others)
        for path in (result, other):
            path.write_bytes(damaged(sound[path], random)[1])
        code, told = main(["lab", "grid.yaml"]), capsys.readouterr()
        if other.parent == lab / LEDGER and code:
            assert code == 7
            assert other.parent.name in told.out + (place.out / "table.json").read_text()
        else:
            assert (code, came_to(place.out)) == (0, due), (result, other)
            assert "measured again" in told.err
        for path, content in sound.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)


def came_to(out):
    """What a table says of each codec but how long it took."""
    codecs = json.loads((out / "table.json").read_text())["codecs"]
    return [{**one, "seconds": None, "origin": None} for one in codecs]
