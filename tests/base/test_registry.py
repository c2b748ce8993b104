"""Registries: what stands in them, in which order, and what they say of what does not."""

from __future__ import annotations

import subprocess
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from lpca.base.registry import Declared, Numbered, Registry, UnknownNameError, import_modules


@pytest.fixture
def shapes() -> Registry[str]:
    made: Registry[str] = Registry("shape")
    made.register("square")("four sides")
    made.register("circle", "round")("none")
    return made


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A package of which each module adds an entry to its registry."""
    name = "registered_shapes"
    folder = tmp_path / name
    (folder / "inner").mkdir(parents=True)
    (folder / "__init__.py").write_text("")
    (folder / "inner" / "__init__.py").write_text("")
    (folder / "registry.py").write_text(
        "from lpca.base.registry import Registry\n"
        f"SHAPES: Registry[object] = Registry('shape', '{name}')\n"
    )
    for module, entry in (("b_second", "second"), ("a_first", "first"), ("inner.third", "third")):
        (folder / f"{module.replace('.', '/')}.py").write_text(
            f"from {name}.registry import SHAPES\n\n"
            f"@SHAPES.register('{entry}')\ndef made(): return '{entry}'\n"
        )
    monkeypatch.syspath_prepend(str(tmp_path))
    for loaded in [one for one in sys.modules if one.partition(".")[0] == name]:
        monkeypatch.delitem(sys.modules, loaded)
    return name


def test_entries_stand_in_the_order_of_registration(shapes: Registry[str]) -> None:
    assert dict(shapes) == {"square": "four sides", "circle": "none", "round": "none"}
    assert list(shapes) == ["square", "circle", "round"]
    assert len(shapes) == 3
    assert "square" in shapes
    assert "triangle" not in shapes
    assert shapes.get("triangle") is None


def test_what_is_decorated_comes_back_as_it_was() -> None:
    made: Registry[object] = Registry("shape")

    @made.register("own")
    class Own:
        pass

    assert made["own"] is Own


def test_a_name_is_taken_once(shapes: Registry[str]) -> None:
    with pytest.raises(ValueError, match="there is a shape 'round' already"):
        shapes.register("oval", "round")("another")
    assert "oval" not in shapes
    assert shapes["round"] == "none"


def test_an_entry_has_a_name(shapes: Registry[str]) -> None:
    with pytest.raises(ValueError, match="at least one name"):
        shapes.register()


def test_an_unknown_name_is_answered_with_the_nearest(shapes: Registry[str]) -> None:
    with pytest.raises(UnknownNameError) as raised:
        shapes["sqare"]
    assert str(raised.value) == (
        "unknown shape 'sqare'; did you mean 'square'? allowed: square, circle, round"
    )
    assert isinstance(raised.value, KeyError)


class TestPackage:
    def test_its_modules_are_imported_when_an_entry_is_asked_for(self, package: str) -> None:
        registry = import_module(f"{package}.registry").SHAPES
        assert f"{package}.a_first" not in sys.modules
        assert registry["third"]() == "third"
        assert f"{package}.a_first" in sys.modules

    def test_the_order_is_that_of_the_modules_whichever_came_first(self, package: str) -> None:
        import_module(f"{package}.inner.third")
        import_module(f"{package}.b_second")
        assert list(import_module(f"{package}.registry").SHAPES) == ["first", "second", "third"]

    def test_a_module_that_breaks_is_met_every_time(self, package: str, tmp_path: Path) -> None:
        (tmp_path / package / "broken.py").write_text("raise RuntimeError('broken module')\n")
        registry = import_module(f"{package}.registry").SHAPES
        for _ in range(2):
            with pytest.raises(RuntimeError, match="broken module"):
                list(registry)

    def test_all_modules_come_back_sorted(self, package: str) -> None:
        names = ["a_first", "b_second", "inner", "inner.third", "registry"]
        assert import_modules(package) == [f"{package}.{name}" for name in names]


def test_asking_for_the_registries_loads_no_torch() -> None:
    code = "import sys, lpca.base.registry; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("most", [1, 9, 10, 16, 409, 1000, 4096])
def test_a_numbered_name_is_one_of_its_numbers_and_no_other(most: int) -> None:
    form = Numbered("cut_N", most)
    named = [number for number in range(12_000) if form.number(f"cut_{number}") == number]
    assert named == list(range(1, most + 1))
    for other in (
        "cut_",
        "cut_N",
        "cut_01",
        "cut_1 ",
        "cut_-1",
        "cut_1_1",
        "x_cut_1",
        "cut_\u0661",
    ):
        assert form.number(other) is None, other


def test_a_numbered_entry_is_made_with_the_number_and_listed_as_is_usual() -> None:
    cuts: Registry[Any] = Registry("cut")
    cuts.register("whole")(lambda: None)
    cuts.register("cut_N", numbers=99, usual=(8, 16))(lambda size: size)
    assert list(cuts) == ["whole", "cut_8", "cut_16"]
    assert len(cuts) == 3
    assert cuts["cut_7"]() == 7
    assert ("cut_99" in cuts, "cut_100" in cuts, "cut_N" in cuts) == (True, False, False)
    with pytest.raises(UnknownNameError, match=r"allowed: whole, cut_8, cut_16, cut_N \(N to 99\)"):
        cuts["cut_100"]
    with pytest.raises(ValueError, match="must end in _N"):
        cuts.register("cut", numbers=9)(lambda size: size)


def test_what_is_declared_of_a_numbered_entry_holds_its_number() -> None:
    said = {"cut_N": {"numbers": 99, "usual": (8,), "bytes": "N"}, "whole": {"holds": "text"}}
    sizes = Declared(said, lambda about: about).each(lambda about: about.get("bytes"))
    assert dict(sizes) == {"cut_8": 8}
    assert (sizes["cut_42"], "whole" in sizes, "cut_0" in sizes) == (42, False, False)
    every = Declared(said, lambda about: about)
    assert every.among(["whole", "cut_30", "cut_4", "else", "cut_4"]) == [
        "cut_4",
        "cut_30",
        "whole",
    ]
    assert list(every.where(lambda about: "bytes" in about).forms) == ["cut_N"]
