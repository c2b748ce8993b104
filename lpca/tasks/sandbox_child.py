"""What runs in the child: it gives its rights away, then walks an expression's syntax tree.

It is started by `lpca.tasks.sandbox` as a program of its own and imports nothing of lpca.
"""

import ast
import json
import operator
import resource
import sys
from collections.abc import Callable

CPU_SECONDS = 2
MEMORY = 256 * 2**20
LARGEST = 10**12
"""Beyond this a value fails: nothing that the language can say grows without bound."""
DEEPEST = 40
OPERATORS: dict[type[ast.operator], Callable[[int, int], int]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
}


def confine() -> None:
    """Give away processor time, memory, files, processes; refuse what Python audits from now on."""
    limits = {
        "RLIMIT_CPU": CPU_SECONDS,
        "RLIMIT_AS": MEMORY,
        "RLIMIT_FSIZE": 0,
        "RLIMIT_NOFILE": 3,
        "RLIMIT_NPROC": 0,
        "RLIMIT_CORE": 0,
    }
    for name, value in limits.items():
        try:
            resource.setrlimit(getattr(resource, name), (value, value))
        except (AttributeError, ValueError, OSError):
            # not on every system; the others hold
            continue
    sys.addaudithook(_refuse)


def _refuse(event: str, _: object) -> None:
    if event != "compile":
        raise RuntimeError(f"refused: {event}")


def value_at(node: ast.AST, x: int, depth: int = 0) -> int:
    """The value of an expression at x; ValueError for what is not in the language."""
    if depth > DEEPEST:
        raise ValueError("too deep")
    value = _value(node, x, depth + 1)
    if abs(value) > LARGEST:
        raise ValueError("too large")
    return value


def _value(node: ast.AST, x: int, depth: int) -> int:
    match node:
        case ast.Constant(value=int() as number) if type(number) is int:
            return number
        case ast.Name(id="x"):
            return x
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            return -value_at(operand, x, depth)
        case ast.BinOp(left=left, op=op, right=right) if type(op) in OPERATORS:
            return OPERATORS[type(op)](value_at(left, x, depth), value_at(right, x, depth))
        case ast.Call(func=ast.Name(id="abs"), args=[one], keywords=[]):
            return abs(value_at(one, x, depth))
        case ast.Call(
            func=ast.Name(id="max" | "min" as name), args=[_, _, *_] as args, keywords=[]
        ):
            return (max if name == "max" else min)(value_at(arg, x, depth) for arg in args)
    raise ValueError("not in the language")


def main() -> None:
    """Read an expression and inputs, print the values; null where there is none."""
    text, inputs = json.loads(sys.stdin.read())
    confine()
    tree = ast.parse(text, mode="eval").body
    values: list[int | None] = []
    for x in inputs:
        try:
            values.append(value_at(tree, x))
        except (ValueError, ZeroDivisionError, RecursionError):
            values.append(None)
    print(json.dumps(values))


if __name__ == "__main__":
    main()
