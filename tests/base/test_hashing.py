from __future__ import annotations

import math
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from lpca.base.hashing import (
    hash_data,
    hash_file,
    named_rng,
    named_seed,
)
from lpca.receivers.hashing import hash_tensors


class TestData:
    def test_the_order_of_keys_does_not_matter(self) -> None:
        assert hash_data({"a": 1, "b": [2, {"c": 3, "d": 4}]}) == hash_data(
            {"b": [2, {"d": 4, "c": 3}], "a": 1}
        )

    def test_everything_else_does(self) -> None:
        data = [{}, [], None, 0, 1, 1.5, True, "1", "", [1, 2], [2, 1], [[1], 2], {"a": 1}, "é"]
        assert len({hash_data(item) for item in data}) == len(data)

    @pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
    def test_what_json_has_no_word_for_is_refused(self, value: float) -> None:
        with pytest.raises(ValueError):
            hash_data([value])

    def test_its_value_is_pinned(self) -> None:
        wanted = "43258cff783fe7036d8a43033f830adfc60ec037382473548ac742b888292777"
        assert hash_data({"b": 2, "a": 1}) == wanted


class TestTensors:
    def test_order_and_layout_in_memory_do_not_matter(self) -> None:
        a, b = torch.arange(6.0).reshape(2, 3), torch.ones(3)
        assert hash_tensors([("a", a), ("b", b)]) == hash_tensors([("b", b), ("a", a)])
        assert hash_tensors([("a", a)]) == hash_tensors([("a", a.T.contiguous().T)])
        assert hash_tensors([("a", a)]) == hash_tensors([("a", a.clone().requires_grad_(True))])

    @pytest.mark.parametrize(
        "other",
        [
            ("b", torch.zeros(2, 3)),
            ("a", torch.zeros(3, 2)),
            ("a", torch.zeros(6)),
            ("a", torch.zeros(2, 3, dtype=torch.int32)),
            ("a", torch.tensor([[0.0, 0, 0], [0, 0, -0.0]])),
        ],
    )
    def test_name_shape_type_and_every_bit_do(self, other: tuple[str, torch.Tensor]) -> None:
        assert hash_tensors([other]) != hash_tensors([("a", torch.zeros(2, 3))])

    @pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.int64, torch.bool])
    def test_all_types_can_be_hashed(self, dtype: torch.dtype) -> None:
        one, two = torch.zeros(3, dtype=dtype), torch.ones(3, dtype=dtype)
        assert hash_tensors([("a", one)]) != hash_tensors([("a", two)])

    def test_scalars_and_empty_tensors_can_be_hashed(self) -> None:
        tensors = [torch.zeros(()), torch.zeros(0), torch.zeros(0, 3), torch.zeros(1)]
        assert len({hash_tensors([("a", tensor)]) for tensor in tensors}) == len(tensors)


def test_a_file_is_hashed_by_its_bytes(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"abc")
    wanted = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert hash_file(tmp_path / "a") == wanted


class TestNames:
    def test_names_make_the_seed(self) -> None:
        seeds = {named_seed("a", 1), named_seed("a", 2), named_seed("b", 1), named_seed("a")}
        assert len(seeds) == 4
        assert all(0 <= seed < 2**63 for seed in seeds)
        assert named_rng("a", 1).random() != named_rng("a", 2).random()

    def test_torch_takes_any_seed(self) -> None:
        for i in range(50):
            torch.Generator().manual_seed(named_seed("x", i))

    def test_they_are_the_same_in_another_process(self) -> None:
        code = "from lpca.base.hashing import *; print(named_seed('a', 1), named_rng('b').random())"
        environment = {**os.environ, "PYTHONHASHSEED": "77"}
        run = subprocess.run(
            [sys.executable, "-c", code],
            env=environment,
            capture_output=True,
            text=True,
            check=True,
        )
        assert run.stdout == f"{named_seed('a', 1)} {named_rng('b').random()}\n"
