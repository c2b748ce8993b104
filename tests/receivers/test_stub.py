from __future__ import annotations

import importlib.util
import sys
from importlib.resources import files
from pathlib import Path
from types import ModuleType

import pytest

from lpca.base.hashing import named_rng
from lpca.evaluation.conditions import Setting
from lpca.evaluation.evaluate import evaluate
from lpca.receivers.load import load_receiver
from lpca.receivers.model import Receiver
from lpca.tasks import Stratum
from lpca.tasks.kinds.trip import TEST_WORDINGS, VALIDATION_WORDINGS, Trip, city_names

FOLDER = Path(str(files("lpca.receivers").joinpath("stub")))
TOOL = Path(__file__).parents[2] / "tools" / "make_stub.py"


pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def stub() -> Receiver:
    return load_receiver("stub", device="cpu", dtype="float32")


@pytest.fixture(scope="module")
def make_stub() -> ModuleType:
    spec = importlib.util.spec_from_file_location("make_stub", TOOL)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["make_stub"] = module
    spec.loader.exec_module(module)
    return module


def test_folder_is_at_most_two_megabytes() -> None:
    assert sum(file.stat().st_size for file in FOLDER.iterdir()) <= 2_000_000


@pytest.mark.parametrize("stratum", ["seen", "unseen"])
def test_it_reads_the_message_and_only_guesses_without(
    stub: Receiver, stratum: Stratum, tmp_path: Path
) -> None:
    episodes = Trip().evaluation_set("test", stratum, 200, seed=1)
    records = evaluate(Setting(stub, None, episodes), ("p0", "p1"), tmp_path).outcomes
    for score in ("likelihood", "greedy"):
        assert sum(record.success(score) for record in records["p1"]) >= 0.9 * 200
        assert 0.15 * 200 <= sum(record.success(score) for record in records["p0"]) <= 0.35 * 200


def test_it_ends_its_answer(stub: Receiver) -> None:
    for episode in Trip().evaluation_set("test", "seen", 20, seed=2):
        prompt = f"{episode.before} {episode.message}{episode.after}"
        encoded = stub.tokenizer(prompt, return_tensors="pt")
        said = stub.model.generate(**encoded, do_sample=False, max_new_tokens=12)[0]
        answer = stub.text(said[encoded["input_ids"].shape[1] :].tolist())
        assert answer in {f" {option}{stub.tokenizer.eos_token}" for option in episode.options}


@pytest.mark.parametrize("text", [" Ulan Bator?\n", "a  b", "\t~{|}\\", " é"])
def test_tokenizer_gives_text_back_and_adds_nothing(stub: Receiver, text: str) -> None:
    ids = stub.tokenizer(text)["input_ids"]
    assert ids == stub.segment_ids(text)
    assert stub.text(ids) == text


def test_no_training_text_holds_what_is_held_out(make_stub: ModuleType) -> None:
    forbidden = make_stub.held_out_names()
    held_out = {*city_names("validation", "unseen"), *city_names("test", "unseen")}
    assert {name.lower() for name in held_out} == forbidden
    rng = named_rng("test-stub")
    made_up = make_stub.made_up_names(300, forbidden, rng)
    episodes = make_stub.TextEpisodes(
        make_stub.make_tokenizer(made_up, rng), made_up, forbidden, rng
    )
    texts = [" ".join(episodes.draw()).lower() for _ in range(300)]
    assert not [name for name in forbidden for text in texts if name in text]
    own = {*make_stub.OWN_WORDINGS, *make_stub.EMPTY_MESSAGES}
    assert own.isdisjoint({*VALIDATION_WORDINGS, *TEST_WORDINGS})
