from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from lpca.base.errors import RequestError
from lpca.base.hashing import hash_file, with_hash
from lpca.codec import store
from lpca.codec.architectures.token_pooler import TokenPooler
from lpca.codec.checkpoint import MANIFEST, WEIGHTS, identify, read_identity
from lpca.codec.recipe import Recipe, Stage
from lpca.codec.store import Obtained, Request, obtain_codec
from lpca.codec.training import Progress, Training
from lpca.receivers.model import Receiver
from lpca.tasks import Task
from lpca.tasks.kinds.trip import Trip

RECIPE = Recipe(stages=(Stage(5),), batch_size=2, warmup_steps=2, validation_every=3)
REQUEST = Request(2, seed=0, recipe=RECIPE)


class Desk:
    """Asks for codecs and keeps what was told and how many steps were trained."""

    def __init__(self, receiver: Receiver, cache: Path) -> None:
        self.receiver, self.cache = receiver, cache
        self.told: list[str] = []
        self.steps: list[int] = []
        self.stop_at: int | None = None

    def ask(self, request: Request = REQUEST, task: Task | None = None) -> Obtained:
        return obtain_codec(
            self.receiver, task or Trip(), request, self.cache, self._report, self.told.append
        )

    def folder(self, request: Request = REQUEST) -> Path:
        identity = identify(
            self.receiver,
            Trip(),
            request.k,
            request.seed or 0,
            request.recipe,
        )
        return self.cache / "codecs" / identity.hash()

    def _report(self, progress: Progress) -> None:
        self.steps.append(progress.step)
        if progress.step == self.stop_at:
            raise KeyboardInterrupt


@pytest.fixture
def desk(llama: Receiver, tmp_path: Path) -> Desk:
    return Desk(llama, tmp_path / "cache")


@pytest.fixture(autouse=True)
def frequent_snapshots(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "SNAPSHOT_EVERY", 2)


def state(obtained: Obtained) -> dict[str, torch.Tensor]:
    return dict(obtained.codec.state_dict())


def assert_same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> None:
    assert one.keys() == other.keys()
    assert not [name for name in one if not torch.equal(one[name], other[name])]


def test_it_trains_once_and_is_then_found(desk: Desk) -> None:
    first = desk.ask()
    assert (first.origin, desk.steps) == ("trained", [1, 2, 3, 4, 5])
    second = desk.ask()
    assert (second.origin, len(desk.steps)) == ("cached", 5)
    assert_same(state(first), state(second))
    assert first.identity == second.identity
    assert desk.told == []


def test_what_it_trains_is_what_training_gives(desk: Desk) -> None:
    training = Training(desk.receiver, Trip(), partial(TokenPooler, desk.receiver, 2), 0, RECIPE)
    training.run(lambda _: None)
    obtained = desk.ask()
    assert_same(state(obtained), dict(training.codec.state_dict()))
    assert [h["loss"] for h in obtained.facts["history"]] == [p.loss for p in training.history]
    assert obtained.facts["trained"]["resumed_at_step"] == 0


@pytest.mark.parametrize("stop_at", [1, 2, 3])
def test_an_interrupted_training_goes_on_to_the_same_codec(
    desk: Desk, tmp_path: Path, stop_at: int
) -> None:
    desk.stop_at = stop_at
    with pytest.raises(KeyboardInterrupt):
        desk.ask()
    assert not desk.folder().exists()
    desk.stop_at, desk.steps = None, []
    resumed = desk.ask()
    kept = stop_at - stop_at % 2
    assert desk.steps == list(range(kept + 1, 6))
    assert resumed.facts["trained"]["resumed_at_step"] == kept
    whole = Desk(desk.receiver, tmp_path / "uninterrupted").ask()
    assert_same(state(resumed), state(whole))
    assert resumed.facts["history"] == whole.facts["history"]
    assert [p.name for p in desk.folder().parent.iterdir() if "snapshot" in p.name] == []


def test_an_unreadable_snapshot_is_named_and_training_starts_anew(desk: Desk) -> None:
    desk.stop_at = 4
    with pytest.raises(KeyboardInterrupt):
        desk.ask()
    [snapshot] = desk.folder().parent.glob("*.snapshot")
    snapshot.write_bytes(snapshot.read_bytes()[:200])
    desk.stop_at, desk.steps = None, []
    assert desk.ask().origin == "trained"
    assert desk.steps == [1, 2, 3, 4, 5]
    assert "snapshot" in " ".join(desk.told)


def test_an_interrupted_save_is_not_found_afterwards(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("lpca.codec.checkpoint.save_file", interrupt)
        with pytest.raises(KeyboardInterrupt):
            desk.ask()
    assert not desk.folder().exists()
    assert desk.ask().origin == "trained"
    assert desk.ask().origin == "cached"


def test_retrain_trains_though_one_is_there(desk: Desk) -> None:
    first = desk.ask()
    again = desk.ask(replace(REQUEST, retrain=True))
    assert (again.origin, len(desk.steps)) == ("trained", 10)
    assert_same(state(first), state(again))


@pytest.mark.parametrize(
    ("request_", "task"),
    [
        (replace(REQUEST, seed=1), Trip()),
        (replace(REQUEST, k=3), Trip()),
        (replace(REQUEST, recipe=replace(RECIPE, learning_rate=1e-2)), Trip()),
        (REQUEST, Trip(5)),
    ],
)
def test_another_request_is_another_codec(desk: Desk, request_: Request, task: Trip) -> None:
    first = desk.ask()
    other = desk.ask(request_, task)
    assert other.origin == "trained"
    assert other.identity.hash() != first.identity.hash()
    assert desk.ask().origin == "cached"
    assert desk.told == []


def edit(folder: Path, **fields: object) -> None:
    manifest = json.loads((folder / MANIFEST).read_text())
    manifest["identity"].update(fields)
    (folder / MANIFEST).write_text(json.dumps(with_hash(manifest)))


def nan(folder: Path) -> None:
    weights = load_file(folder / WEIGHTS)
    weights["queries"][0, 0] = torch.nan
    save_file(weights, folder / WEIGHTS)
    manifest = json.loads((folder / MANIFEST).read_text())
    manifest["weights_sha256"] = hash_file(folder / WEIGHTS)
    (folder / MANIFEST).write_text(json.dumps(manifest))


UNFIT: list[tuple[Callable[[Path], object], str]] = [
    (lambda f: (f / WEIGHTS).write_bytes(b""), "its bytes are not the ones"),
    (lambda f: (f / MANIFEST).write_text("garbage"), "no readable manifest.json"),
    (lambda f: (f / MANIFEST).unlink(), "no readable manifest.json"),
    (nan, "NaN"),
    (lambda f: edit(f, k=9), "k is 9, wanted 2"),
    (lambda f: edit(f, seed=5), "seed is 5, wanted 0"),
    (lambda f: edit(f, code="c" * 64), "code is cccccccccccc, wanted"),
    (lambda f: edit(f, receiver="a" * 64), "receiver is aaaaaaaaaaaa, wanted"),
    (lambda f: edit(f, task="b" * 64), "task is bbbbbbbbbbbb, wanted"),
]


@pytest.mark.parametrize(("spoil", "reason"), UNFIT)
def test_an_unfit_cached_codec_is_named_and_trained_anew(
    desk: Desk, spoil: Callable[[Path], object], reason: str
) -> None:
    first = desk.ask()
    spoil(desk.folder())
    again = desk.ask()
    assert (again.origin, len(desk.steps)) == ("trained", 10)
    assert_same(state(first), state(again))
    [line] = desk.told
    assert line.startswith("the cached checkpoint ")
    assert reason in line
    assert line.endswith("; training")
    assert desk.ask().origin == "cached"


class TestGiven:
    @pytest.fixture
    def given(self, desk: Desk, tmp_path: Path) -> Path:
        desk.ask()
        desk.steps.clear()
        return Path(shutil.copytree(desk.folder(), tmp_path / "given"))

    def test_it_is_taken(self, desk: Desk, given: Path) -> None:
        obtained = desk.ask(replace(REQUEST, checkpoint=given))
        assert (obtained.origin, desk.steps, desk.told) == ("given", [], [])
        assert_same(state(obtained), state(desk.ask()))

    def test_how_it_was_trained_is_its_owners_affair(self, desk: Desk, given: Path) -> None:
        edit(given, recipe={"steps": 9000, "batch_size": 2}, code="c" * 64)
        obtained = desk.ask(replace(REQUEST, checkpoint=given))
        assert obtained.identity.recipe == {"steps": 9000, "batch_size": 2}

    def test_another_seed_and_batch_size_are_taken(self, desk: Desk, tmp_path: Path) -> None:
        theirs = replace(REQUEST, seed=3, recipe=replace(RECIPE, batch_size=3))
        trained = desk.ask(theirs)
        given = shutil.copytree(desk.folder(theirs), tmp_path / "seed3")
        obtained = desk.ask(replace(REQUEST, checkpoint=Path(given)))
        assert (obtained.origin, obtained.identity.seed) == ("given", 3)
        assert_same(state(obtained), state(trained))

    @pytest.mark.parametrize(
        ("fields", "reason"),
        [
            ({"k": 9}, "k is 9, wanted 2"),
            ({"receiver": "a" * 64}, "receiver is aaaaaaaaaaaa"),
            ({"task": "b" * 64}, "task is bbbbbbbbbbbb"),
        ],
    )
    def test_one_for_something_else_is_a_usage_error(
        self, desk: Desk, given: Path, fields: dict[str, object], reason: str
    ) -> None:
        edit(given, **fields)
        with pytest.raises(RequestError, match=reason) as caught:
            desk.ask(replace(REQUEST, checkpoint=given))
        assert str(given) in str(caught.value)
        assert "\n" not in str(caught.value)
        assert desk.steps == []

    @pytest.mark.parametrize("spoil", [spoil for spoil, _ in UNFIT[:4]])
    def test_a_broken_one_is_a_usage_error(
        self, desk: Desk, given: Path, spoil: Callable[[Path], object]
    ) -> None:
        spoil(given)
        with pytest.raises(RequestError, match=str(given)):
            desk.ask(replace(REQUEST, checkpoint=given))
        assert desk.steps == []

    def test_a_missing_one_is_a_usage_error(self, desk: Desk, tmp_path: Path) -> None:
        with pytest.raises(RequestError, match="no readable manifest"):
            desk.ask(replace(REQUEST, checkpoint=tmp_path / "nothing"))


class TestShipped:
    @pytest.fixture
    def shipping(
        self, desk: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> tuple[Desk, Path]:
        """A desk whose receiver calls itself the default one, with a checkpoint shipped for it."""
        desk.ask()
        shipped = tmp_path / "shipped"
        desk.folder().rename(shipped)
        monkeypatch.setattr(store, "shipped_folder", lambda *_: shipped)
        buyer = Desk(replace(desk.receiver, name="smollm2-135m"), tmp_path / "buyer")
        return buyer, shipped

    def test_it_is_taken_without_training(self, shipping: tuple[Desk, Path]) -> None:
        desk, _ = shipping
        obtained = desk.ask(replace(REQUEST, seed=None))
        assert (obtained.origin, desk.steps, desk.told) == ("shipped", [], [])

    def test_another_receiver_does_not_look_at_it(
        self, shipping: tuple[Desk, Path], llama: Receiver
    ) -> None:
        desk, _ = shipping
        desk.receiver = llama
        assert desk.ask().origin == "trained"
        assert desk.told == []

    def test_an_unfit_one_is_named_and_the_codec_trained(self, shipping: tuple[Desk, Path]) -> None:
        desk, shipped = shipping
        edit(shipped, code="c" * 64)
        assert desk.ask().origin == "trained"
        [line] = desk.told
        assert line.startswith("the shipped checkpoint shipped does not fit: code is cccc")
        assert read_identity(shipped).code == "c" * 64

    def test_retrain_passes_it_over(self, shipping: tuple[Desk, Path]) -> None:
        desk, _ = shipping
        assert desk.ask(replace(REQUEST, retrain=True)).origin == "trained"

    def test_another_seed_is_trained(self, shipping: tuple[Desk, Path]) -> None:
        desk, _ = shipping
        obtained = desk.ask(replace(REQUEST, seed=4))
        assert (obtained.origin, obtained.identity.seed) == ("trained", 4)


@pytest.mark.parametrize("size", ["x", 0, 10**12, 2.5, None])
def test_a_given_checkpoint_with_an_impossible_batch_size_is_refused(
    desk: Desk, size: object
) -> None:
    desk.ask()
    folder = desk.folder()
    manifest = json.loads((folder / MANIFEST).read_text())
    manifest["identity"]["recipe"]["batch_size"] = size
    (folder / MANIFEST).write_text(json.dumps(manifest))
    with pytest.raises(RequestError, match=r"batch_size is .*; allowed: 1 to"):
        desk.ask(replace(REQUEST, checkpoint=folder))


def test_a_snapshot_that_was_damaged_anywhere_does_not_become_another_codec(
    desk: Desk, tmp_path: Path
) -> None:
    desk.stop_at = 4
    with pytest.raises(KeyboardInterrupt):
        desk.ask()
    [snapshot] = desk.folder().parent.glob("*.snapshot")
    sound = snapshot.read_bytes()
    tensors = load_file(snapshot)
    desk.stop_at = None
    whole = Desk(desk.receiver, tmp_path / "uninterrupted").ask()
    for name in (sorted(tensors)[0], sorted(tensors)[-1]):
        # a bit of the data, which no reader of the format notices
        place = sound.index(tensors[name].numpy().tobytes())
        snapshot.write_bytes(
            sound[:place] + bytes([sound[place] ^ 1]) + sound[place + 1 :],
        )
        desk.told.clear()
        shutil.rmtree(desk.folder(), ignore_errors=True)
        desk.steps.clear()
        found = desk.ask()
        assert desk.steps == [1, 2, 3, 4, 5]
        assert "its content is not what was written; training from the start" in desk.told[0]
        assert_same(state(found), state(whole))


def test_a_manifest_that_was_damaged_is_named_and_the_codec_trained_anew(desk: Desk) -> None:
    desk.ask()
    path = desk.folder() / MANIFEST
    held = json.loads(path.read_text())
    held["history"][0]["loss"] += 1.0
    path.write_text(json.dumps(held))
    assert desk.ask().origin == "trained"
    assert "its content is not what was written" in desk.told[0]
