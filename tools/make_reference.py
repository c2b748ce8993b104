"""Write what is generated from `lpca.gatespec.keys`: the tables of the spec reference and the
shipped JSON Schema.

    python tools/make_reference.py
"""

from __future__ import annotations

import re
from pathlib import Path

from lpca.gatespec import keys

ROOT = Path(__file__).parents[1]
REFERENCE = ROOT / "docs" / "spec-reference.md"
SCHEMA = ROOT / "lpca" / "gatespec" / "gate_specs.schema.json"
_TABLE = re.compile(r"(<!-- generated: (\w+) -->\n).*?(<!-- end -->)", re.S)
_HEAD = ("", "| Key | Value | Default | Meaning |", "|---|---|---|---|")


def reference(text: str) -> str:
    """The reference with every generated table as it should be."""

    def table(found: re.Match[str]) -> str:
        return found[1] + "\n".join([*_HEAD, *getattr(keys, found[2]).rows(), "", ""]) + found[3]

    return _TABLE.sub(table, text)


if __name__ == "__main__":
    REFERENCE.write_text(reference(REFERENCE.read_text(encoding="utf-8")), encoding="utf-8")
    SCHEMA.write_text(keys.schema_text(), encoding="utf-8")
