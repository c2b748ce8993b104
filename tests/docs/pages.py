"""The fenced blocks of the documentation, and the commands in them."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
FENCE = re.compile(r"^( *)```(\w+)([^\n]*)\n(.*?)^\1```", re.M | re.S)
TITLE = re.compile(r'title="([^"]+)"')


@dataclass(frozen=True)
class Block:
    """One fenced block; `title` names the file whose content it shows, if any."""

    page: str
    line: int
    kind: str
    title: str | None
    text: str

    @property
    def place(self) -> str:
        return f"{self.page}:{self.line}"


def blocks(*kinds: str) -> list[Block]:
    """The blocks of these kinds, page by page."""
    found = []
    at_root = (ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md"))
    for path in (*at_root, *sorted((ROOT / "docs").rglob("*.md"))):
        text = path.read_text(encoding="utf-8")
        for fence in FENCE.finditer(text):
            if fence[2] in kinds:
                line = text.count("\n", 0, fence.start()) + 1
                title = TITLE.search(fence[3])
                page = str(path.relative_to(ROOT))
                found.append(Block(page, line, fence[2], title and title[1], fence[4]))
    return found


def commands(block: Block) -> list[str]:
    """The command lines of a block, without comments; of a console only what follows a `$`."""
    lines = block.text.replace("\\\n", " ").splitlines()
    if block.kind == "console":
        lines = [line.removeprefix("$ ") for line in lines if line.startswith("$ ")]
    bare = (_without_comment(line) for line in lines)
    return [line for line in bare if line]


def _without_comment(line: str) -> str:
    line = re.sub(r"(^|\s+)#.*$", "", line).strip()
    shlex.split(line)
    return line
