"""The four identities of what lpca computes: each follows behaviour, and nothing else."""

from __future__ import annotations

import ast
import copy
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest

from lpca.base.code_identity import Closures, Symbol, code_hash, reading
from lpca.base.hashing import named_rng
from lpca.base.source_code import EFFECTS, WHOLE, is_text
from lpca.codec.checkpoint import training_code
from lpca.codec.recipe import Recipe, Stage
from lpca.codec.user_codec import own_code
from lpca.evaluation.block import scoring_code
from lpca.gate.plan import sound_spec
from lpca.lab.results import deciding_code
from lpca.tasks import make_task
from lpca.tasks.kinds.trip import Trip

ROOT = Path(__file__).parents[2]
BREAKS = 100
SEED = "what each identity rests on"
RECIPE = Recipe(
    "residual_vq", stages=(Stage(1, {"answer": 1.0, "kl": 0.5}), Stage(1, {"info_nce": 1.0}))
)
SPEC = sound_spec(ROOT / "gate_specs.yaml")
GATE = "gate1"
FAMILY = make_task("s3", {})
USERS = Path(__file__).parent / "users_codec"
Identity = Callable[[], str]


def users_code() -> str:
    sys.path.insert(0, str(USERS))
    try:
        from users_own import AnyCodec  # type: ignore[import-not-found]
    finally:
        sys.path.remove(str(USERS))
    return code_hash(sys.modules[AnyCodec.__module__], AnyCodec)


IDENTITIES: Mapping[str, Identity] = MappingProxyType(
    {
        "training": lambda: training_code(RECIPE, Trip()),
        "scoring": lambda: scoring_code(FAMILY.training_batch(0, 1, 0)),
        "lab": lambda: deciding_code(SPEC, GATE, Trip()),
        "user": users_code,
    }
)


class Recording(Closures):
    """Remembers what it met."""

    met: frozenset[Symbol] = frozenset()

    def hash(
        self, roots: Iterable[object], resolved: Mapping[str, Collection[str]] | None = None
    ) -> str:
        roots = list(roots)
        self.met = self.closure(roots, resolved)
        return super().hash(roots, resolved)


@pytest.fixture(scope="module")
def whole() -> tuple[Recording, dict[str, str], dict[str, frozenset[Symbol]]]:
    """The present sources, each identity, and what it rests on."""
    closures, keys, met = Recording(), {}, {}
    with reading(closures):
        for name, identity in IDENTITIES.items():
            keys[name] = identity()
            met[name] = closures.met
    return closures, keys, met


def names_of(statement: ast.stmt, module: Any) -> list[str]:
    names = [name for name, places in module.bound.items() if statement in places]
    return [*names, *([EFFECTS] if statement in module.effects else [])]


def expressions(statement: ast.stmt) -> Iterator[ast.AST]:
    """What may be broken: no annotation, docstring or import, nothing for type checkers alone."""
    skipped = set()
    for node in ast.walk(statement):
        if isinstance(node, ast.arg):
            skipped.add(node.annotation)
        elif isinstance(node, ast.FunctionDef):
            skipped.add(node.returns)
        elif isinstance(node, ast.AnnAssign):
            skipped.add(node.annotation)
        elif isinstance(node, ast.Call) and getattr(node.func, "id", "") == "cast":
            skipped.add(node.args[0])
        elif isinstance(node, ast.Call) and getattr(node.func, "attr", "") == "register":
            # of a registry only what is resolved counts: see the test of it
            skipped.update(node.keywords)
        elif isinstance(node, ast.stmt) and is_text(node):
            skipped.update(ast.iter_child_nodes(node))
        elif isinstance(node, ast.If) and getattr(node.test, "id", "") == "TYPE_CHECKING":
            skipped.add(node)
    kinds = (ast.Constant, ast.BinOp, ast.Compare, ast.BoolOp, ast.Call, ast.Attribute)

    def walk(node: ast.AST) -> Iterator[ast.AST]:
        if node in skipped:
            return
        if isinstance(node, kinds) or (isinstance(node, ast.keyword) and node.arg):
            yield node
        for part in ast.iter_child_nodes(node):
            yield from walk(part)

    return walk(statement)


def broken(node: ast.AST) -> None:
    """Change what a node says, in place."""
    if isinstance(node, ast.Constant):
        value = node.value
        if isinstance(value, bool) or value is None or value is Ellipsis:
            node.value = not value if isinstance(value, bool) else 0
        else:
            node.value = value + (
                "x" if isinstance(value, str) else b"x" if isinstance(value, bytes) else 1
            )
    elif isinstance(node, ast.BinOp):
        node.op = ast.Sub() if isinstance(node.op, ast.Add) else ast.Add()
    elif isinstance(node, ast.Compare):
        node.ops[0] = ast.LtE() if isinstance(node.ops[0], ast.Lt) else ast.Lt()
    elif isinstance(node, ast.BoolOp):
        node.op = ast.And() if isinstance(node.op, ast.Or) else ast.Or()
    elif isinstance(node, ast.keyword):
        node.arg = f"{node.arg}_"
    elif isinstance(node, ast.Attribute):
        node.attr = f"{node.attr}_"
    elif isinstance(node, ast.Call):
        if isinstance(node.func, ast.Name):
            node.func.id = f"{node.func.id}_"
        else:
            node.args = [*node.args, ast.Constant(0)]


def drawn(whole: Any, count: int, seed: str, identity: str) -> Iterator[tuple[str, str, list[str]]]:
    """Module, its broken text, and the identities that rest on it."""
    closures, _, met = whole
    rng = named_rng(SEED, identity, seed)
    places = []
    for module in sorted({symbol.module for symbol in met[identity]}):
        found = closures.sources.module(module)
        for index, statement in enumerate(found.tree.body):
            names = names_of(statement, found)
            hit = [
                one
                for one, symbols in met.items()
                if {Symbol(module, WHOLE), *(Symbol(module, n) for n in names)} & symbols
            ]
            if identity in hit and names:
                size = len(list(expressions(statement)))
                places += [(module, index, place, hit) for place in range(size)]
    for module, index, place, hit in rng.sample(places, min(count, len(places))):
        tree = copy.deepcopy(closures.sources.module(module).tree)
        broken(list(expressions(tree.body[index]))[place])
        yield module, ast.unparse(tree), hit


@pytest.mark.parametrize("identity", IDENTITIES)
def test_a_break_changes_each_identity_that_rests_on_it(whole: Any, identity: str) -> None:
    closures, keys, _ = whole
    kept = []
    for module, text, hit in drawn(whole, BREAKS // 4, "breaks", identity):
        with reading(closures.reread(module, text)):
            kept += [(module, one, text) for one in hit if IDENTITIES[one]() == keys[one]]
    assert [(module, one) for module, one, _ in kept] == []


@pytest.mark.parametrize("identity", ["training", "scoring", "lab"])
def test_written_anew_it_is_the_same(whole: Any, identity: str) -> None:
    closures, keys, met = whole
    for module in sorted({symbol.module for symbol in met[identity]})[::4]:
        text = "# a comment\n" + ast.unparse(closures.sources.module(module).tree)
        with reading(closures.reread(module, text)):
            assert IDENTITIES[identity]() == keys[identity], module


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("levels_of", "return ", "return not "),
        ("parse_claim", "first.constant > 0.0", "first.constant < 0.0"),
        ("LatentEnds", "self.codec.eval()", "self.codec.train()"),
    ],
)
def test_the_faults_that_once_left_old_readings_as_they_were(
    whole: Any, name: str, old: str, new: str
) -> None:
    closures, keys, met = whole
    [module] = {symbol.module for symbol in met["lab"] if symbol.name == name}
    text = ast.unparse(closures.sources.module(module).tree)
    at = text.index(old, 0 if name == "parse_claim" else text.index(f" {name}"))
    with reading(closures.reread(module, text[:at] + new + text[at + len(old) :])):
        assert IDENTITIES["lab"]() != keys["lab"]


@pytest.mark.parametrize(("asked", "counts"), [("p2_64", True), ("p2_7", True), ("p5", False)])
def test_what_is_said_of_an_entry_counts_where_it_is_resolved(
    whole: Any, asked: str, counts: bool
) -> None:
    closures, _, _ = whole
    module = "lpca.evaluation.conditions.builtin"
    roots = [Symbol("lpca.evaluation.conditions", "build_slots")]
    resolved = {"condition": [asked]}
    text = ast.unparse(closures.sources.module(module).tree)
    assert text.count("numbers=4096") == 1
    changed = closures.reread(module, text.replace("numbers=4096", "numbers=8192"))
    is_same = changed.hash(roots, resolved) == closures.hash(roots, resolved)
    assert is_same is not counts


def test_it_takes_no_torch_and_is_the_same_in_another_process(whole: Any) -> None:
    closures, _, _ = whole
    roots = [("lpca.gate.runner", "Runner"), ("lpca.evaluation.block", "run_block")]
    own = [closures.hash([Symbol(*root)]) for root in roots]
    assert elsewhere(ROOT, roots, {}) == own


ELSEWHERE = """
import json, sys
from lpca.base.code_identity import Closures, Symbol
roots, resolved = json.loads(sys.argv[1])
closures = Closures()
print(json.dumps([closures.hash([Symbol(*root)], resolved) for root in roots]))
sys.exit("torch" in sys.modules)
"""


def elsewhere(folder: Path, roots: Sequence[Sequence[str]], resolved: Mapping[str, Any]) -> Any:
    ended = subprocess.run(
        [sys.executable, "-c", ELSEWHERE, json.dumps([roots, resolved])],
        cwd=folder,
        env={"PYTHONPATH": str(folder), "PYTHONHASHSEED": "7"},
        capture_output=True,
        text=True,
        check=True,
    )
    return json.loads(ended.stdout)


ROOTS = (
    ("lpca.gate.runner", "Runner"),
    ("lpca.evaluation.block", "run_block"),
    ("lpca.codec.training", "Training"),
    ("lpca.codec.architectures", "make_codec"),
)
RESOLVED = {
    "architecture": ["token_pooler"],
    "objective": ["answer"],
    "condition": ["p0", "normal"],
    "task": ["s3"],
}


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    ignored = shutil.ignore_patterns("__pycache__", "*.safetensors")
    shutil.copytree(ROOT / "lpca", tmp_path / "lpca", ignore=ignored)
    return tmp_path


@pytest.fixture(scope="module")
def before() -> Any:
    """The hashes of the tree as it is."""
    return elsewhere(ROOT, ROOTS, RESOLVED)


def rewrite(tree: Path, change: Callable[[str], str]) -> None:
    for file in tree.rglob("*.py"):
        file.write_text(change(file.read_text()))


def test_modules_move_and_names_change(tree: Path, before: Any) -> None:
    moves = {
        "lpca.evaluation.block": "lpca.evaluation.story",
        "lpca.codec.training": "lpca.base.schooling",
        "lpca.receivers.model": "lpca.stats.receiving",
        "lpca.codec.channel": "lpca.tasks.wire",
        "lpca.judge.decide": "lpca.judge.verdict_of",
    }
    for old, new in moves.items():
        source = tree / f"{old.replace('.', '/')}.py"
        source.rename(tree / f"{new.replace('.', '/')}.py")

    def moved(text: str) -> str:
        for old, new in moves.items():
            package, _, name = old.rpartition(".")
            to, _, as_ = new.rpartition(".")
            text = re.sub(rf"\b{re.escape(old)}\b", new, text)
            text = re.sub(
                rf"from {re.escape(package)} import {name}$",
                f"from {to} import {as_} as {name}",
                text,
                flags=re.M,
            )
        for name in ("build_slots", "_run_batch", "encode_afresh", "mean_prefix"):
            text = re.sub(rf"\b{name}\b", f"{name}_renamed", text)
        return text

    rewrite(tree, moved)
    roots = [(moves.get(module, module), name) for module, name in ROOTS]
    assert elsewhere(tree, roots, RESOLVED) == before


class Reworded(ast.NodeTransformer):
    """Other docstrings, other names of local variables, and annotations where none were."""

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        inner = (ast.FunctionDef, ast.Match, ast.Lambda, ast.ClassDef, ast.Global, ast.Nonlocal)
        parts = [part for statement in node.body for part in ast.walk(statement)]
        if not any(isinstance(part, inner) for part in parts):
            taken = {one.arg for one in ast.walk(node.args) if isinstance(one, ast.arg)}
            stored = {
                part.id
                for part in parts
                if isinstance(part, ast.Name) and isinstance(part.ctx, ast.Store)
            } - taken
            for part in parts:
                if isinstance(part, ast.Name) and part.id in stored:
                    part.id = f"{part.id}_local"
        node.body = [ast.Expr(ast.Constant("Other words.")), *node.body]
        body: list[ast.stmt] = []
        for statement in node.body:
            targets = statement.targets if isinstance(statement, ast.Assign) else []
            if len(targets) == 1 and isinstance(targets[0], ast.Name):
                value = statement.value  # type: ignore[attr-defined]
                kind = ast.Name("object", ast.Load())
                body.append(ast.AnnAssign(targets[0], kind, value, simple=1))
            else:
                body.append(statement)
        node.body = body
        return node


def test_words_local_names_and_annotations_change(tree: Path, before: Any) -> None:

    def reworded(text: str) -> str:
        return ast.unparse(ast.fix_missing_locations(Reworded().visit(ast.parse(text))))

    rewrite(tree, reworded)
    assert elsewhere(tree, ROOTS, RESOLVED) == before


@pytest.mark.parametrize(
    ("kind", "package", "registry"),
    [
        ("architecture", "lpca.codec.architectures", "lpca.codec.architectures.CODECS"),
        ("objective", "lpca.codec.objectives", "lpca.codec.objectives.OBJECTIVES"),
        ("condition", "lpca.evaluation.conditions", "lpca.evaluation.conditions.CONDITIONS"),
        ("task", "lpca.tasks.kinds", "lpca.tasks.TASKS"),
    ],
)
def test_a_new_entry_in_a_new_file_leaves_the_others(
    tree: Path, before: Any, kind: str, package: str, registry: str
) -> None:
    module, _, name = registry.rpartition(".")
    (tree / package.replace(".", "/") / "fresh.py").write_text(
        f"from {module} import {name}\n\n"
        f"@{name}.register('fresh')\ndef fresh(*given): return given\n"
    )
    assert elsewhere(tree, ROOTS, RESOLVED) == before
    with_it = {**RESOLVED, kind: [*RESOLVED[kind], "fresh"]}
    assert elsewhere(tree, ROOTS, with_it) != before


def test_a_users_codec_rests_on_the_helpers_it_imports(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    for file in USERS.glob("*.py"):
        shutil.copy(file, tmp_path / f"copied_{file.name}")
    main, helper = tmp_path / "copied_users_own.py", tmp_path / "copied_users_helper.py"
    main.write_text(main.read_text().replace("from users_helper", "from copied_users_helper"))
    from copied_users_own import AnyCodec  # type: ignore[import-not-found]

    def key() -> str | None:
        return own_code(AnyCodec, AnyCodec())

    before = key()
    assert before is not None
    helper.write_text(helper.read_text() + "# a comment\n")
    assert key() == before
    helper.write_text(helper.read_text().replace("len(message)", "len(message) + 1"))
    assert key() != before
