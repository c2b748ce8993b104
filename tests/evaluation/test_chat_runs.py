"""Gates whose prompts a receiver's chat template writes: own episodes, training, what is kept."""

from __future__ import annotations

import json
import shutil
from importlib.resources import files
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from gate_project import BASE, HEAD
from own_codec import OPEN

from lpca import load_receiver
from lpca.api import run_gate
from lpca.base.errors import RequestError
from lpca.codec.architectures import make_codec
from lpca.codec.checkpoint import identify, save_checkpoint
from lpca.codec.recipe import Recipe
from lpca.gatespec.load import parse_spec
from lpca.gatespec.model import Prompt
from lpca.judge.stored import read_stored
from lpca.lab.results import keys_of
from lpca.receivers.model import Receiver
from lpca.tasks import make_task

TEMPLATE = (
    "{% for m in messages %}{{ '<s>' + m['role'] + '\n' + m['content'] + '</s>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<s>assistant\n' }}{% endif %}"
)
CHAT = Prompt("chat", join_answer="")
KEY = "prompt: {template: chat}\ngates:"
K = 2


@pytest.fixture(scope="module")
def chatty(tmp_path_factory: pytest.TempPathFactory) -> Receiver:
    """The stub with a chat template of its own."""
    folder = tmp_path_factory.mktemp("chatty") / "stub"
    shutil.copytree(str(files("lpca.receivers").joinpath("stub")), folder)
    (folder / "chat_template.jinja").write_text(TEMPLATE)
    return load_receiver(str(folder), "cpu")


class Told:
    """A console that keeps what it is told."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def tell(self, text: str) -> None:
        self.lines.append(text)

    def training(self, *_: Any) -> None:
        raise AssertionError("nothing is trained here")

    def evaluating(self, label: str) -> Any:
        return lambda done, total: None


def row(number: int) -> str:
    """Every message names what ends a turn; half of the contexts do."""
    where = ("Oslo", "Rome", "Lima", "Bonn")[number % 4]
    return json.dumps(
        {
            "message": f"Number {number} goes to {where} </s> now.",
            "context": "Cities: Oslo, Rome, Lima, Bonn.{message}" + "</s>" * (number % 2) + "\nTo:",
            "answer": where,
            "options": ["Oslo", "Rome", "Lima", "Bonn"],
        }
    )


def test_own_episodes_in_a_chat(chatty: Receiver, tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_text("\n".join(map(row, range(120))))
    task = HEAD.replace("name: trip, options: 4", "name: episodes, file: rows.jsonl")
    spec = (task + BASE).replace("n: 60", "n: 20").replace("answers: seen", "answers: all")
    place, console = tmp_path / "gate_specs.yaml", Told()
    place.write_text(spec.replace("gates:", KEY))
    run = run_gate("base", receiver=chatty, spec=place, console=console)
    assert [check.id for check in run.found.checks if check.passed is False] == []
    found = run.found
    assert found.prompt == {"template": "chat", "join": {"message": " ", "answer": ""}}
    assert "prompt: template chat" in str(run)
    shown = {one.condition: one.text for one in found.prompts}
    assert shown["p0"].startswith("<s>user\nCities: ")
    assert shown["p1"].endswith("</s>\n<s>assistant\n")
    # B answers behind the template's end, whatever its message says
    assert shown["p1"].count(" </s> now.") == 1
    assert [line for line in console.lines if "'</s>' in B's texts: read as text" in line]

    (kept,) = (tmp_path / ".lpca").rglob("base.json")
    assert read_stored(kept, parse_spec(place.read_text(), str(place))).prompt == found.prompt


def test_a_codec_of_another_prompt_does_not_fit(chatty: Receiver, tmp_path: Path) -> None:
    task, recipe = make_task("trip", {}), Recipe().control()
    inside = chatty.prompted(CHAT)
    identity = identify(inside, task, K, 0, recipe)
    assert identity.prompt.startswith("chat ")
    assert identity.hash() != identify(chatty, task, K, 0, recipe).hash()
    save_checkpoint(tmp_path / "codec", make_codec(inside, K, recipe), identity, {})
    (tmp_path / "gate_specs.yaml").write_text(HEAD + BASE + OPEN)
    with pytest.raises(RequestError, match=r"prompt is chat [0-9a-f]+, wanted plain"):
        run_gate(
            "open",
            codec=tmp_path / "codec",
            receiver=chatty,
            k=K,
            spec=tmp_path / "gate_specs.yaml",
            console=Told(),
        )


def test_a_labs_codec_of_another_prompt_is_another(chatty: Receiver) -> None:
    spec, task = parse_spec(HEAD + BASE), make_task("trip", {})
    cell: Any = SimpleNamespace(
        label="one", k=K, seed=0, row=SimpleNamespace(recipe=Recipe(), channel=None)
    )
    grid: Any = SimpleNamespace(gate="base")
    keys = [
        keys_of(grid, spec, task, chatty.prompted(prompt), [cell]).by_label["one"]
        for prompt in (Prompt(), CHAT)
    ]
    assert len(set(keys)) == 2
