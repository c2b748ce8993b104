from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from lpca.codec.recipe import (
    ARCHITECTURES,
    OBJECTIVES,
    Recipe,
    RecipeError,
    Stage,
    load_recipe,
    read_recipe,
)
from lpca.gatespec.load import SpecError

DEFAULT: dict[str, Any] = {
    "architecture": {"name": "token_pooler"},
    "curriculum": [{"steps": 120, "objective": {"answer": 1.0}}],
    "batch_size": 24,
    "learning_rate": 0.001,
    "warmup_steps": 5,
    "validation_every": 10,
}
CURRICULUM = [
    {"steps": 3, "objective": {"message_reconstruction": 1}},
    {"steps": 2, "objective": {"answer": 1, "info_nce": 0.5}},
]


def test_the_default_is_the_training_of_the_shipped_codecs() -> None:
    assert Recipe().content() == DEFAULT
    assert read_recipe({}, "here") == Recipe()


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"architecture": "static_prefix", "steps": 7},
        {"architecture": {"name": "vector_quantised", "codebook": 8}, "objective": {"kl": 2}},
        {"curriculum": CURRICULUM, "batch_size": 2, "learning_rate": 1, "warmup_steps": 0},
    ],
)
def test_its_content_reads_back_as_the_same(given: Mapping[str, Any]) -> None:
    recipe = read_recipe(given, "here")
    assert read_recipe(recipe.content(), "there") == recipe


def test_settings_left_out_are_at_their_defaults_and_count() -> None:
    plain, told = (Recipe("residual_vq", settings) for settings in ({}, {"codebook": 512}))
    assert plain == told
    assert plain.content()["architecture"] == {
        "name": "residual_vq",
        "codebook": 512,
        "quantisers": 2,
    }


def test_stages_follow_one_another() -> None:
    recipe = read_recipe({"curriculum": CURRICULUM}, "here")
    assert recipe.steps == 5
    assert [recipe.stage_at(step).steps for step in range(6)] == [3, 3, 3, 2, 2, 2]
    assert recipe.objectives == ("answer", "message_reconstruction", "info_nce")


def test_an_objective_of_weight_zero_is_not_used() -> None:
    recipe = read_recipe({"objective": {"answer": 1, "mse": 0}}, "here")
    assert recipe.objectives == ("answer",)


def test_the_control_has_the_same_budget_and_learns_the_answer() -> None:
    recipe = read_recipe(
        {"architecture": "pooled_mlp", "curriculum": CURRICULUM, "batch_size": 7}, "here"
    )
    control = recipe.control()
    assert control.budget == recipe.budget == {**recipe.budget, "steps": 5, "batch_size": 7}
    assert control.architecture == "static_prefix"
    assert control.stages == (Stage(5, {"answer": 1.0}),)


REFUSED: dict[str, tuple[object, str]] = {
    "no mapping": ([], r"the recipe is \[\]; allowed: a mapping"),
    "unknown key": ({"step": 1}, "unknown key 'step' in the recipe; did you mean 'steps'"),
    "unknown objective": ({"objective": {"anser": 1}}, "'anser' is unknown; did you mean 'answer'"),
    "objective a list": ({"objective": ["answer"]}, r"objective is \['answer'\]; allowed"),
    "no objective": ({"objective": {}}, "objective is {}; allowed: one or more"),
    "negative": ({"objective": {"answer": -1}}, "its weight is -1; allowed: a finite number"),
    "nan": ({"objective": {"answer": float("nan")}}, "its weight is nan"),
    "infinite": ({"objective": {"answer": float("inf")}}, "its weight is inf"),
    "too large": ({"objective": {"answer": 10**400}}, "its weight is 1000"),
    "true": ({"objective": {"answer": True}}, "its weight is True"),
    "a word": ({"objective": {"answer": "much"}}, "its weight is 'much'"),
    "all zero": ({"objective": {"answer": 0, "kl": 0.0}}, "every weight is 0"),
    "no steps": ({"steps": 0}, "steps is 0; allowed: 1 to"),
    "half a step": ({"steps": 1.5}, "steps is 1.5; allowed: 1 to"),
    "too many steps": ({"steps": 10**9}, "steps is 1000000000; allowed: 1 to"),
    "too many in all": ({"curriculum": [{"steps": 9_999_999}] * 2}, "19999998; allowed: 1 to"),
    "unknown architecture": ({"architecture": "token_poler"}, "did you mean 'token_pooler'"),
    "no architecture": ({"architecture": None}, "architecture None is unknown"),
    "architecture unnamed": ({"architecture": {"codebook": 4}}, "architecture lacks its name"),
    "setting of none": ({"architecture": {"name": "token_pooler", "k": 1}}, "allowed: none"),
    "unknown setting": (
        {"architecture": {"name": "vector_quantised", "codes": 4}},
        "unknown setting 'codes'; did you mean 'codebook'",
    ),
    "codebook of one": (
        {"architecture": {"name": "vector_quantised", "codebook": 1}},
        "codebook is 1; allowed: 2 to",
    ),
    "both": ({"curriculum": CURRICULUM, "steps": 4}, "both curriculum and steps are given"),
    "empty curriculum": ({"curriculum": []}, "curriculum is empty"),
    "curriculum a word": ({"curriculum": "answer"}, "curriculum is 'answer'; allowed: a list"),
    "stage a number": ({"curriculum": [3]}, "stage 1 of the curriculum is 3; allowed: a mapping"),
    "second stage": (
        {"curriculum": [{"steps": 3}, {"steps": -3}]},
        "stage 2 of the curriculum: steps is -3",
    ),
    "key of a stage": ({"curriculum": [{"batch_size": 3}]}, "unknown key 'batch_size' in stage 1"),
    "rate zero": ({"learning_rate": 0}, "learning_rate is 0; allowed: a finite number above 0"),
    "rate nan": ({"learning_rate": float("nan")}, "learning_rate is nan"),
    "batch zero": ({"batch_size": 0}, "batch_size is 0; allowed: 1 to"),
    "one to compare": (
        {"batch_size": 1, "objective": {"info_nce": 1}},
        "batch_size is 1; allowed: from 2 on with the objective info_nce",
    ),
    "warmup below zero": ({"warmup_steps": -1}, "warmup_steps is -1; allowed: 0 to"),
    "never validated": ({"validation_every": 0}, "validation_every is 0; allowed: 1 to"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_cannot_be_is_refused_in_one_line(what: str) -> None:
    given, complaint = REFUSED[what]
    with pytest.raises(RecipeError, match=complaint) as caught:
        read_recipe(given, "grid.yaml:3")
    assert str(caught.value).startswith("grid.yaml:3: ")
    assert "\n" not in str(caught.value)
    assert "allowed" in str(caught.value)


@pytest.mark.parametrize(
    ("text", "place", "complaint"),
    [
        ("objective: {answer: 1}\nsteps: 0\n", "2:8", "steps is 0"),
        ("curriculum:\n  - {steps: 1}\n  - steps: 2\n    objective: {kl: x}\n", "4:21", "kl: its"),
        ("steps: 3\nstep: 4\n", "2:7", "unknown key 'step'"),
        ("steps: 3\nsteps: 4\n", "2:1", "stands twice"),
        ("architecture: {name: residual_vq, codebook: 0}\n", "1:45", "codebook is 0"),
        ("learning_rate: .inf\n", "1:16", "finite"),
    ],
)
def test_a_file_is_refused_at_its_line(
    tmp_path: Path, text: str, place: str, complaint: str
) -> None:
    path = tmp_path / "recipe.yaml"
    path.write_text(text)
    with pytest.raises(SpecError, match=complaint) as caught:
        load_recipe(path)
    assert str(caught.value).startswith(f"{path}:{place}: ")


def test_a_file_is_read(tmp_path: Path) -> None:
    path = tmp_path / "recipe.yaml"
    path.write_text(
        "architecture: {name: vector_quantised, codebook: 16}\n"
        "objective: {answer: 1.0, info_nce: 0.5}\nsteps: 30\nlearning_rate: 1e-2\n"
    )
    assert load_recipe(path) == Recipe(
        "vector_quantised",
        {"codebook": 16},
        (Stage(30, {"answer": 1.0, "info_nce": 0.5}),),
        learning_rate=0.01,
    )


def test_recipes_are_read_without_torch() -> None:
    code = "import sys, lpca.codec.recipe; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_what_can_be_named_is_there() -> None:
    from lpca.codec import architectures, objectives

    assert set(objectives.OBJECTIVES) == set(OBJECTIVES)
    assert set(architectures.CODECS) == set(ARCHITECTURES)
