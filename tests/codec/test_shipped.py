"""The checkpoint that the repository ships is the one today's code and spec would train."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from lpca.codec.base import DEFAULT_SEED
from lpca.codec.checkpoint import identify, read_identity
from lpca.codec.recipe import STATIC_PREFIX, TOKEN_POOLER, Recipe
from lpca.codec.store import Request, obtain_codec, shipped_folder
from lpca.gate.plan import task_of
from lpca.gatespec.load import load_spec
from lpca.receivers.load import load_receiver
from lpca.receivers.model import PLAIN_NAME

SHIPPED = (TOKEN_POOLER, STATIC_PREFIX)
ROOT = Path(__file__).parents[2]
SMOLLM2 = "3ac0c172da6bdd046b558c2f12d0adaa20eba5c9bd3bd656ecf4f7a2e6d30912"


@pytest.fixture(scope="module")
def task():
    return task_of(load_spec(ROOT / "gate_specs.yaml"))


@pytest.mark.parametrize("architecture", SHIPPED)
def test_it_fits_the_code_the_task_and_the_configuration(task, architecture):
    found = read_identity(shipped_folder(4, architecture))
    receiver = SimpleNamespace(weights_hash=SMOLLM2, prompt_name=PLAIN_NAME)
    wanted = identify(receiver, task, 4, DEFAULT_SEED, Recipe(architecture))
    assert wanted.mismatches(found) == []


def test_a_checkpoint_of_other_code_would_not_fit(task):
    found = read_identity(shipped_folder(4))
    assert replace(found, code="0" * 64).mismatches(found)


@pytest.mark.parametrize("architecture", SHIPPED)
def test_it_is_small_and_says_how_it_was_trained(architecture):
    folder = shipped_folder(4, architecture)
    assert sum(file.stat().st_size for file in folder.iterdir()) <= 5_000_000
    manifest = json.loads((folder / "manifest.json").read_text())
    assert len(manifest["history"]) == Recipe().steps
    assert manifest["history"][-1]["gap"] is not None


@pytest.mark.network
def test_the_default_receiver_takes_them(task, tmp_path):
    receiver = load_receiver(dtype="float32")
    assert receiver.weights_hash == SMOLLM2
    for architecture in SHIPPED:
        told = []
        request = Request(4, recipe=Recipe(architecture))
        obtained = obtain_codec(receiver, task, request, tmp_path, told.append, told.append)
        assert (obtained.origin, told) == ("shipped", [])
