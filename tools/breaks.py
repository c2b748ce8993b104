"""120 faults for the test suite to catch: drawn by a seed, found again in a rewritten tree.

    python tools/breaks.py draw TREE        draw the breaks of a tree into tools/breaks.json
    python tools/breaks.py locate OLD NEW   find the place of each in a tree that was rewritten
    python tools/breaks.py check TREE       does each break apply? (to its place of now, if any)

`breaks_code` says what can be broken, `breaks_locate` finds it again, `breaks_tests` which tests
run a line, and `breaks_run` plants the breaks and runs the tests.
"""

from __future__ import annotations

import argparse
import ast
import io
import json
import random
import tokenize
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from breaks_code import Break, Candidate, Place, Source, files_of, find, is_text, source_of
from breaks_locate import locate

SEED = "breaks of 2026-11-29"
COUNT = 120
BREAKS = Path(__file__).with_name("breaks.json")


def room_of(file: str) -> str:
    """The folder right under lpca/ that a file is in; the loose ones are together."""
    parts = file.split("/")
    return parts[1] if len(parts) > 2 else "(root)"


def code_lines(text: str) -> int:
    """How many lines hold code: no docstring, comment or blank line."""
    lines: set[int] = set()
    layout = {tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT}
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type not in layout | {tokenize.ENDMARKER}:
            lines.update(range(token.start[0], token.end[0] + 1))
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Expr) and is_text(node.value):
            lines -= set(range(node.lineno, (node.end_lineno or node.lineno) + 1))
    return len(lines)


def shares(weights: dict[str, int], total: int) -> dict[str, int]:
    """Divide a total in proportion, by largest remainders."""
    whole = sum(weights.values())
    exact = {name: total * weight / whole for name, weight in weights.items()}
    given = {name: int(share) for name, share in exact.items()}
    left = sorted(exact, key=lambda name: (given[name] - exact[name], name))
    for name in left[: total - sum(given.values())]:
        given[name] += 1
    return given


def draw(tree: Path, seed: str = SEED, count: int = COUNT) -> list[Break]:
    """Draw breaks, in each room as many as its lines deserve and of all kinds alike."""
    sources = [source_of(tree, file) for file in files_of(tree)]
    weights: Counter[str] = Counter()
    for source in sources:
        weights[room_of(source.file)] += code_lines(source.data.decode())
    drawn: list[Break] = []
    for room, share in sorted(shares(weights, count).items()):
        generator = random.Random(f"{seed}: {room}")
        mine = [source for source in sources if room_of(source.file) == room]
        for one in _drawn_of_room(mine, share, generator):
            drawn.append(Break(len(drawn) + 1, room, one.kind, one.change, one.place))
    return drawn


def _drawn_of_room(
    sources: list[Source], share: int, generator: random.Random
) -> Iterator[Candidate]:
    by_kind: dict[str, list[tuple[Source, Candidate]]] = defaultdict(list)
    for source in sources:
        for one in source.candidates:
            by_kind[one.kind].append((source, one))
    taken: set[tuple[str, str, str]] = set()
    while share:
        source, one = generator.choice(by_kind[generator.choice(sorted(by_kind))])
        place = one.place
        scope = (place.file, place.function, "" if one.function_lines else place.statement)
        if scope in taken or source.broken(one) is None:  # spread: one per function
            continue
        taken.add(scope)
        share -= 1
        yield one


# The file of breaks, and the commands.


def read_breaks(path: Path = BREAKS) -> list[Break]:
    """Read the breaks that were drawn."""
    return [_from_data(one) for one in json.loads(path.read_text())]


def _from_data(data: dict[str, Any]) -> Break:
    now = data.pop("now")
    return Break(first=Place(**data.pop("first")), now=Place(**now) if now else None, **data)


def write_breaks(breaks: list[Break], path: Path = BREAKS) -> None:
    """Write breaks, as `read_breaks` reads them."""
    data = [asdict(one) for one in breaks]
    path.write_text(json.dumps(data, indent=1, ensure_ascii=False) + "\n")


def check(breaks: list[Break], tree: Path) -> list[str]:
    """Say which breaks do not apply to a tree."""
    wrong = []
    for one in breaks:
        place = one.now or one.first
        try:
            broken = source_of(tree, place.file).broken(find(tree, place))
        except (LookupError, OSError) as error:
            wrong.append(f"{one.number}: {error}")
        else:
            wrong += [] if broken else [f"{one.number}: no other program"]
    return wrong


def main() -> int:
    """Draw, locate or check."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=("draw", "locate", "check"))
    parser.add_argument("trees", nargs="+", type=Path, help="a tree; for locate: the old, the new")
    arguments = parser.parse_args()
    if arguments.what == "draw":
        write_breaks(draw(arguments.trees[0]))
    elif arguments.what == "locate":
        write_breaks(locate(read_breaks(), *arguments.trees))
    wrong = check(read_breaks(), arguments.trees[-1])
    print("\n".join(wrong) or "every break applies")
    return bool(wrong)


if __name__ == "__main__":
    raise SystemExit(main())
