"""The families' own receivers: they solve by text, guess without it, and were shown no test."""

from __future__ import annotations

import importlib.util
import sys
from importlib.resources import files
from pathlib import Path
from types import ModuleType

import pytest
import torch

from lpca.base.hashing import named_rng
from lpca.evaluation.conditions import Setting
from lpca.evaluation.evaluate import evaluate
from lpca.receivers.load import load_receiver
from lpca.receivers.model import Receiver
from lpca.tasks.family import family_named, split_of_message

TOOL = Path(__file__).parents[2] / "tools" / "make_family_receivers.py"
SHIPPED = Path(str(files("lpca.receivers").joinpath("")))
NAMES = [name for name in ("s1", "s2", "s3") if (SHIPPED / name / "config.json").is_file()]


pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def tool() -> ModuleType:
    spec = importlib.util.spec_from_file_location("make_family_receivers", TOOL)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["make_family_receivers"] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module", params=NAMES)
def receiver(request: pytest.FixtureRequest) -> Receiver:
    return load_receiver(request.param, device="cpu", dtype="float32")


def test_its_folder_is_small(receiver: Receiver) -> None:
    folder = SHIPPED / receiver.name
    assert sum(file.stat().st_size for file in folder.iterdir()) <= 5_000_000


def test_text_is_read_and_without_it_there_is_a_guess(receiver: Receiver, tmp_path: Path) -> None:
    episodes = family_named(receiver.name).evaluation_set("validation", "seen", 80, 1)
    records = evaluate(Setting(receiver, None, episodes), ("p0", "p1"), tmp_path).outcomes
    solved = {name: sum(r.greedy_success for r in rows) / 80 for name, rows in records.items()}
    assert solved["p1"] > 0.75
    assert solved["p0"] < 0.35
    assert solved["p1"] - solved["p0"] > 0.5


def test_its_tokenizer_has_the_familys_words_and_gives_any_text_back(
    receiver: Receiver, tool: ModuleType
) -> None:
    for word in tool.PLANS[receiver.name]().words:
        assert len(receiver.segment_ids(word)) == 1
    for text in (" Ulan Bator?\n", "a  b", "\t~{|}\\", " é"):
        assert receiver.text(receiver.segment_ids(text)) == text


def test_it_says_its_answer_and_ends(receiver: Receiver, tmp_path: Path) -> None:
    episodes = family_named(receiver.name).evaluation_set("validation", "seen", 20, 2)
    records = evaluate(Setting(receiver, None, episodes), ("p1",), tmp_path).outcomes["p1"]
    longest = max(len(receiver.option_ids(option)) for e in episodes for option in e.options)
    assert all(len(record.said_ids) <= longest for record in records)


@pytest.mark.parametrize("name", ["s1", "s2", "s3"])
def test_training_texts_tell_what_no_test_message_tells(name: str, tool: ModuleType) -> None:
    family = family_named(name)
    tokenizer = tool.make_tokenizer(tool.PLANS[name]().words)
    texts = tool.Texts(family, tokenizer, named_rng("test-family", name))
    held_out = {
        tuple(sorted(e.message.split()))
        for split in ("validation", "test")
        for e in family.evaluation_set(split, "seen", 60, 3)
    }
    size = len(next(family.puzzles("train", named_rng("size"))).told)
    for _ in range(12):
        ids, counts = texts.batch(16)
        for row, counted in zip(ids, counts, strict=True):
            text = tokenizer.decode(row[~counted])
            told = _told(family, text)
            if len(set(told)) == size:
                assert split_of_message(sorted(set(told))) == "train"
                assert tuple(sorted(set(told))) not in held_out


def _told(family: object, text: str) -> list[str]:
    """The words of a prompt behind B's own, which are as many as B's half has."""
    before, after = family.prompt(("",))  # type: ignore[attr-defined]
    words = text.removeprefix(before.rstrip()).partition(after)[0].split()
    own = {"s1": 4, "s2": 2, "s3": 2}[family.name]  # type: ignore[attr-defined]
    return words[own:]


def test_training_repeats_from_its_seed(tool: ModuleType) -> None:
    plan = tool.Plan(tool.PLANS["s1"]().words, 3, hidden=16, layers=1, heads=2, inner=16)
    family = family_named("s1")

    def trained(seed: int) -> list[torch.Tensor]:
        tokenizer = tool.make_tokenizer(plan.words)
        model = tool.make_model(plan, len(tokenizer), seed)
        tool.train(model, tool.Texts(family, tokenizer, named_rng("repeat", seed)), 3)
        return [p.detach().clone() for p in model.parameters()]

    pairs = list(zip(trained(0), trained(0), strict=True))
    assert all(torch.equal(one, other) for one, other in pairs)
    assert not all(torch.equal(*pair) for pair in zip(trained(0), trained(1), strict=True))
