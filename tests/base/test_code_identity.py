"""What a code's hash sees, shown on small modules of a user's own."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path

import pytest

from lpca.base.code_identity import Closures, code_hash, reading
from lpca.base.source_code import EFFECTS, WHOLE, Sources, Symbol

MAIN = '''"""Doc."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from made_helpers import Reader, doubled

if TYPE_CHECKING:
    from made_helpers import Shown

SCALE = 3
UNUSED = 4


def unused(x: int) -> int:
    return x - 1


def root(x: int, reader: Reader, shown: Shown | None = None) -> float:
    """Say."""
    scaled = doubled(x) * SCALE
    for item in reader.items():
        scaled += item
    return math.sqrt(scaled)
'''
HELPERS = '''"""Doc."""

TABLE = {"a": 1}
TABLE["b"] = 2


def doubled(value):
    return value + value


class Base:
    def width(self):
        return 1


class Reader(Base):
    def items(self):
        return [self.width(), TABLE["a"]]


class Shown:
    def text(self):
        return "shown"
'''
DECORATED = (
    "class P:\n def register(self, s): return lambda f: lambda x: f(x) * s\n"
    "p = P()\n@p.register(2)\ndef g(x): return x\ndef root(x): return g(x)"
)
OWN_REGISTRY = DECORATED.replace("P", "Registry").replace("Registry()", "Registry('x')")
Hashed = Callable[..., str]


@pytest.fixture
def hashed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hashed]:
    monkeypatch.syspath_prepend(str(tmp_path))

    def of(main: str = MAIN, helpers: str = HELPERS, name: str = "root", **others: str) -> str:
        for module, text in {"made_main": main, "made_helpers": helpers, **others}.items():
            (tmp_path / f"{module}.py").write_text(text)
        return Closures().hash([Symbol("made_main", name)])

    yield of
    for module in [one for one in sys.modules if one.startswith("made_")]:
        del sys.modules[module]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("Doc.", "Other words."),
        ('    """Say."""\n', ""),
        ("return math.sqrt(scaled)", "return (math.sqrt(scaled))  # a comment"),
        ("\n\n\n", "\n\n# Lines between.\n\n"),
        ("def root(x: int, ", "def root(\n    x: float, "),
        ("scaled = doubled(x)", "scaled: float = doubled(x)"),
        ("SCALE = 3", "SCALE: int = 3"),
        ("UNUSED = 4", "UNUSED = 5"),
        ("return x - 1", "return x - 2"),
        ("scaled", "total"),
        ("item", "each"),
        ("SCALE", "FACTOR"),
        (
            "import math\n",
            "import math as maths\n",
        ),
        ("from made_helpers import Reader, doubled", "import made_helpers"),
        ("shown: Shown | None", "shown: 'Shown | None'"),
    ],
)
def test_words_layout_and_names_do_not_matter(hashed: Hashed, old: str, new: str) -> None:
    changed = MAIN.replace(old, new)
    if "maths" in new:
        changed = changed.replace("math.sqrt", "maths.sqrt")
    if new == "import made_helpers":
        changed = changed.replace("doubled(", "made_helpers.doubled(").replace(
            "reader: Reader", "reader: made_helpers.Reader"
        )
    if old == "item":
        changed = changed.replace("reader.eachs", "reader.items")
    assert changed != MAIN
    assert hashed(changed) == hashed(MAIN)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("doubled(x) *", "doubled(x) +"),
        ("SCALE = 3", "SCALE = 4"),
        ("SCALE = 3", "SCALE = 3.0"),
        ("math.sqrt", "math.exp"),
        ("scaled += item", "scaled -= item"),
        ("reader.items()", "reader.width()"),
        ("= None", "= 1"),
        ("x: int, reader", "y: int, reader"),
        ("doubled(x) *", "x *"),
    ],
)
def test_what_the_code_does_matters(hashed: Hashed, old: str, new: str) -> None:
    changed = MAIN.replace(old, new)
    assert changed != MAIN
    assert hashed(changed) != hashed(MAIN)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("value + value", "value * value"),
        ('"a": 1', '"a": 2'),
        ('TABLE["b"] = 2', 'TABLE["b"] = 3'),
        ("return 1", "return 2"),  # reached through the base of a class that an annotation names
        ('return "shown"', 'return "hidden"'),  # through an import for type checkers alone
        ("class Reader(Base)", "class Reader"),
    ],
)
def test_what_is_used_of_another_module_matters(hashed: Hashed, old: str, new: str) -> None:
    changed = HELPERS.replace(old, new)
    assert changed != HELPERS
    assert hashed(helpers=changed) != hashed()


@pytest.mark.parametrize(
    ("old", "new"), [("items", "parts"), ("width", "size"), ("doubled", "twice")]
)
def test_methods_and_functions_may_be_renamed(old: str, new: str) -> None:
    def hash_of(main: str, helpers: str) -> str:
        main = main.replace("made_helpers", "lpca.made_helpers")
        sources = Sources({"lpca.made_main": main, "lpca.made_helpers": helpers})
        return Closures(sources).hash([Symbol("lpca.made_main", "root")])

    # a dict has `items` of its own: whose method is meant cannot be seen, so the name counts
    renamed = hash_of(MAIN.replace(old, new), HELPERS.replace(old, new))
    assert (renamed == hash_of(MAIN, HELPERS)) == (old != "items")


def test_a_users_functions_may_be_renamed_her_methods_are_read_by_name(hashed: Hashed) -> None:
    for old, new in (("doubled", "twice"), ("width", "size")):
        renamed = hashed(MAIN.replace(old, new), HELPERS.replace(old, new))
        assert (renamed == hashed()) == (old == "doubled")


def test_a_definition_may_move(hashed: Hashed) -> None:
    start = HELPERS.index("class Base")
    before = hashed(helpers=HELPERS.replace('TABLE["b"] = 2\n', ""))
    helpers = HELPERS[:start].replace('TABLE["b"] = 2\n', "")
    moved = "from made_helpers import TABLE\n\n\n" + HELPERS[start:]
    main = MAIN.replace(
        "from made_helpers import Reader, doubled",
        "from made_helpers import doubled\nfrom made_moved import Reader",
    ).replace("from made_helpers import Shown", "from made_moved import Shown")
    assert hashed(main, helpers, made_moved=moved) == before


@pytest.mark.parametrize(
    ("before", "after"),
    [
        # which of two is meant
        ("def root(a, b): return a - b", "def root(a, b): return b - a"),
        ("def root(a): return a.min()", "def root(a): return a.max()"),
        ("class root:\n x: int = 1\n y: int = 2", "class root:\n y: int = 1\n x: int = 2"),
        ("class root:\n x: int = 1", "class root:\n x: float = 1"),
        # a name that a string may find
        (
            "class A:\n def f(self): return 1\n def g(self): return 2\n"
            "def root(a: A): return getattr(a, 'f')()",
            "class A:\n def g(self): return 1\n def f(self): return 2\n"
            "def root(a: A): return getattr(a, 'f')()",
        ),
        # a method that a library calls
        (
            "import json\nclass root(json.JSONEncoder):\n def default(self, o): return 1",
            "import json\nclass root(json.JSONEncoder):\n def other(self, o): return 1",
        ),
        ("X = 1\ndef root():\n global X\n X = 2", "X = 1\ndef root():\n X = 2"),
        (
            "def root(n):\n def f():\n  nonlocal n\n  n = 1\n f()\n return n",
            "def root(n):\n def f():\n  n = 1\n f()\n return n",
        ),
        ("def root(x): return [x for x in x]", "def root(x): return [y for x in x for y in x]"),
        (
            "from math import sin as f\ndef root(x): return f(x)",
            "from math import cos as f\ndef root(x): return f(x)",
        ),
        (
            "def root(x):\n from math import sin as f\n return f(x)",
            "def root(x):\n from math import cos as f\n return f(x)",
        ),
        (
            "def root(x):\n match x:\n  case [a, b]: return a",
            "def root(x):\n match x:\n  case [a, b]: return b",
        ),
        (
            "def root(x):\n try: f()\n except KeyError as e: return e",
            "def root(x):\n try: f()\n except ValueError as e: return e",
        ),
        ("def root(x, y): return lambda z: x + z", "def root(x, y): return lambda z: y + z"),
        ("def root(*a): return a", "def root(a): return a"),
        ("def root(a, *, b): return a", "def root(a, b): return a"),
        ("def root(a, *, b=1, c): return a", "def root(a, *, b, c=1): return a"),
        ("def root(): return f'{x}'", "def root(): return f'{x!r}'"),
        ("def root(): yield 1", "async def root(): yield 1"),
        ("X = 1\nX += 1\ndef root(): return X", "X = 1\ndef root(): return X"),
        (
            "X = [1]\nfor i in X: X.append(i)\ndef root(): return X",
            "X = [1]\nfor i in X: X.pop(i)\ndef root(): return X",
        ),
        (
            "try:\n import no_such as n\nexcept ImportError:\n n = 1\ndef root(): return n",
            "try:\n import no_such as n\nexcept ImportError:\n n = 2\ndef root(): return n",
        ),
        (
            "from functools import singledispatch\n@singledispatch\ndef root(x): return 1\n"
            "@root.register\ndef _(x: int): return 2",
            "from functools import singledispatch\n@singledispatch\ndef root(x): return 1\n"
            "@root.register\ndef _(x: int): return 3",
        ),
        (
            "import made_helpers\ndef root(): return vars(made_helpers)",
            "def root(): return vars(1)",
        ),
        # decorators, and what a dispatcher is told, of what is no registry
        (DECORATED, DECORATED.replace("register(2)", "register(3)")),
        (OWN_REGISTRY, OWN_REGISTRY.replace("register(2)", "register(3)")),
        # what binds a name and does more
        (
            "T = {}\nT['a'], DIM = 3, 8\ndef root(): return T",
            "T = {}\nT['a'], DIM = 4, 8\ndef root(): return T",
        ),
        (
            "T = {}\nT['x']: int = 6\ndef root(): return T",
            "T = {}\nT['x']: int = 7\ndef root(): return T",
        ),
        (
            "class A: x = 1\n(A.x, *Y) = 2, 3\ndef root(): return A.x",
            "class A: x = 1\n(A.x, *Y) = 4, 3\ndef root(): return A.x",
        ),
        # in which order a name is bound and read
        ("A = 1\nB = A\nA = 2\ndef root(): return B", "A = 1\nA = 2\nB = A\ndef root(): return B"),
        (
            "from made_helpers import doubled\ndef doubled(x): return 0\nroot = doubled",
            "def doubled(x): return 0\nfrom made_helpers import doubled\nroot = doubled",
        ),
        # a property that is read of an object handed over
        (
            "class A:\n @property\n def bits(self): return 8\n"
            " @property\n def spare(self): return 9\nclass C(A): pass\ndef root(): return C()",
            "class A:\n @property\n def spare(self): return 8\n"
            " @property\n def bits(self): return 9\nclass C(A): pass\ndef root(): return C()",
        ),
    ],
)
def test_each_of_these_differs(hashed: Hashed, before: str, after: str) -> None:
    assert hashed(before) != hashed(after)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("def root(*args): return args", "def root(*values): return values"),
        ("def root(**kw): return kw", "def root(**more): return more"),
        ("root = lambda *a, **b: (a, b)", "root = lambda *c, **d: (c, d)"),
        (
            "class A:\n n: 'A | None' = None\ndef root(): return A()",
            "class B:\n n: 'B | None' = None\ndef root(): return B()",
        ),
        ("class A: pass\nclass root:\n n: A = 1", "class A: pass\nclass root:\n n: 'A' = 1"),
        (
            "from typing import cast\ndef root(x): return cast(int, x)",
            "from typing import cast\ndef root(x): return cast('float', x)",
        ),
    ],
)
def test_each_of_these_is_the_same(hashed: Hashed, before: str, after: str) -> None:
    assert hashed(before) == hashed(after)


@pytest.mark.parametrize(
    "told",
    [
        "@root.register\ndef _(x: int): return 2",
        "@root.register(int)\ndef _(x): return 2",
        "root.register(int)(lambda x: 2)",
    ],
)
def test_for_which_type_a_dispatcher_is_told_counts(hashed: Hashed, told: str) -> None:
    start = "from functools import singledispatch\n@singledispatch\ndef root(x): return 1\n"
    assert hashed(start + told) != hashed(start + told.replace("int", "str"))


@pytest.mark.parametrize("start", ["from made_helpers import *", "f = 1"])
def test_the_last_star_counts(hashed: Hashed, start: str) -> None:
    star, end = "from made_more import *", "def root(): return f()"

    def of(value: int, *lines: str) -> str:
        more = f"def f(): return {value}"
        return hashed("\n".join(lines), "def f(): return 1", made_more=more)

    assert of(2, start, star, end) != of(3, start, star, end)
    assert of(2, start, star, end) != of(2, star, start, end)


def test_a_module_as_a_value_counts_whole(hashed: Hashed) -> None:
    main = "import made_helpers\ndef root(): return vars(made_helpers)"
    assert hashed(main) != hashed(main, HELPERS.replace('"shown"', '"hidden"'))
    main = "from importlib import import_module\ndef root(): return import_module('made_helpers')"
    assert hashed(main) != hashed(main, HELPERS.replace('"shown"', '"hidden"'))


def test_names_are_followed_through_packages_and_lazy_tables(
    hashed: Hashed, tmp_path: Path
) -> None:
    package = tmp_path / "made_package"
    package.mkdir()
    (package / "__init__.py").write_text(
        "from .inner import f\nLAZY = {'g': 'made_package.later'}\n"
        "def __getattr__(name): return getattr(__import__(LAZY[name]), name)\n"
    )
    (package / "inner.py").write_text("def f(): return 1\n")
    (package / "later.py").write_text("def g(): return 1\n")
    for use in (
        "from made_package import f",
        "from made_package import g as f",
        "from made_package import *",
    ):
        main = f"{use}\ndef root(): return f()"
        before = hashed(main)
        for inner in ("inner", "later"):
            text = (package / f"{inner}.py").read_text()
            (package / f"{inner}.py").write_text(text.replace("1", "2"))
            assert (hashed(main) != before) == ((inner == "later") == (" g " in use))
            (package / f"{inner}.py").write_text(text)


REGISTRY = (
    "from lpca.base.registry import Registry\nSHAPES = Registry('shape')\n"
    "@SHAPES.register('one', 'uno')\ndef one(): return 1\n"
    "@SHAPES.register('two')\ndef two(): return 2\n"
    "SHAPES.register('three')(lambda: 3)\n"
    "def root(name): return SHAPES[name]()\n"
)


class TestRegistries:
    @pytest.fixture
    def resolved(self, hashed: Hashed) -> Hashed:
        def of(text: str, *names: str, **others: str) -> str:
            hashed(text, **others)
            return Closures().hash([Symbol("made_main", "root")], {"shape": names})

        return of

    @pytest.mark.parametrize("name", ["one", "uno", "two", "three"])
    def test_the_entry_that_is_resolved_counts_alone(self, resolved: Hashed, name: str) -> None:
        before = resolved(REGISTRY, name)
        for value in "123":
            changed = REGISTRY.replace(f"return {value}", "return 9").replace(
                f"lambda: {value}", "lambda: 9"
            )
            concerns = {"one": "1", "uno": "1", "two": "2", "three": "3"}[name] == value
            assert (resolved(changed, name) != before) == concerns

    def test_a_new_entry_leaves_the_others(self, resolved: Hashed) -> None:
        more = REGISTRY + "@SHAPES.register('four')\ndef four(): return 4\n"
        assert resolved(more, "one") == resolved(REGISTRY, "one")
        assert resolved(more, "four") != resolved(REGISTRY, "one")

    def test_unless_told_all_of_it_counts(self, hashed: Hashed) -> None:
        before = hashed(REGISTRY)
        for value in "12":
            assert hashed(REGISTRY.replace(f"return {value}", "return 9")) != before
        assert hashed(REGISTRY.replace("lambda: 3", "lambda: 9")) != before

    def test_an_entry_that_is_not_seen_lets_all_of_it_count(self, resolved: Hashed) -> None:
        before = resolved(REGISTRY, "nowhere")
        assert resolved(REGISTRY.replace("return 2", "return 9"), "nowhere") != before

    def test_an_entry_whose_name_is_computed_counts_always(self, resolved: Hashed) -> None:
        loop = REGISTRY + "for i in range(2): SHAPES.register(f'n{i}')(lambda: 5)\n"
        assert resolved(loop, "one") != resolved(REGISTRY, "one")
        assert resolved(loop.replace("5", "6"), "n1") != resolved(loop, "n1")
        assert resolved(loop.replace("return 2", "return 9"), "n1") == resolved(loop, "n1")


def test_effects_of_a_module_count_with_anything_of_it(hashed: Hashed) -> None:
    hashed()
    met = Closures().closure([Symbol("made_main", "root")])
    assert Symbol("made_helpers", EFFECTS) in met
    assert Symbol("made_helpers", WHOLE) not in met
    assert Symbol("made_main", "unused") not in met


def test_a_root_without_source_is_an_error(hashed: Hashed) -> None:
    for root in (len, Symbol("made_main", "nothing"), Symbol("no_such_module", "f"), 3):
        with pytest.raises(LookupError):
            code_hash(root)


def test_roots_are_functions_classes_and_objects(hashed: Hashed) -> None:
    hashed()
    main, helpers = import_module("made_main"), import_module("made_helpers")
    with reading(Closures()):
        assert code_hash(main.root) == Closures().hash([Symbol("made_main", "root")])
        assert code_hash(helpers.Reader()) == code_hash(helpers.Reader)
        assert code_hash(helpers.Reader().items) == code_hash(helpers.Reader)
        assert code_hash(helpers) == Closures().hash([Symbol("made_helpers", WHOLE)])
        assert code_hash(helpers) != code_hash(main)
