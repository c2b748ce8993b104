"""Whether receivers of many architectures are read exactly, as the documentation's table says."""

from __future__ import annotations

import re
import runpy
from pathlib import Path
from typing import Any

import pytest
from transformers import AutoModelForCausalLM

from lpca.receivers.load import load_receiver

ROOT = Path(__file__).parents[2]
TOOL = runpy.run_path(str(ROOT / "tools" / "architectures.py"))
PAGE = (ROOT / "docs" / "lab" / "receivers.md").read_text(encoding="utf-8")
ROWS = re.findall(r"^\| `([^`]+)` \| ([^|]+) \| ([^|]*) \| ([^|]*) \|$", PAGE, re.M)
READ = {name: read for name, read, _, _ in ROWS}
A_FEW = ("gemma3_text, window", "bloom", "gemma3n_text, window")
"""One of each way of reading that costs a second in all."""


def test_the_page_lists_every_architecture_and_none_is_misread() -> None:
    assert list(READ) == list(TOOL["ARCHITECTURES"])
    assert set(READ.values()) <= set(TOOL["SOUND"])
    for name, read, deviation, line in ROWS:
        if read == TOOL["REFUSED"]:
            assert line.strip(), name
        else:
            assert float(deviation) <= TOOL["TOLERANCE"], name


@pytest.mark.parametrize("name", A_FEW)
def test_a_row_measured_again_is_read_in_the_same_way(name: str) -> None:
    row = TOOL["row_of"](name)
    assert row.read == READ[name], row


@pytest.mark.slow(seconds=60)
@pytest.mark.parametrize("name", [name for name in READ if name not in A_FEW])
def test_every_other_row_measured_again_is_read_in_the_same_way(name: str) -> None:
    row = TOOL["row_of"](name)
    assert row.read == READ[name], row


def test_a_window_that_is_not_kept_would_be_seen(tmp_path: Path) -> None:
    TOOL["save"]("mistral, window", tmp_path)
    receiver = load_receiver(str(tmp_path), "cpu", "float32")
    wide: Any = AutoModelForCausalLM.from_pretrained(tmp_path, sliding_window=None)
    found = TOOL["deviations"](receiver, TOOL["Alone"](wide.train(False)), TOOL["prompts"]())
    assert min(found[what] for what in ("ids", "vectors", "noise", "training")) > 0.1
