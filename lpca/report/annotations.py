"""Annotations of a pull request: GitHub's workflow commands, one line each."""

from __future__ import annotations

from typing import Literal

from lpca.gatespec.model import Position

Level = Literal["error", "warning", "notice"]


def annotation(level: Level, position: Position, title: str, text: str) -> str:
    """Return the line that puts `text` at a place of a file; any text is safe in it."""
    properties = {
        "file": position.file,
        "line": str(position.line),
        "col": str(position.column),
        "title": title,
    }
    shown = ",".join(f"{name}={_property(value)}" for name, value in properties.items())
    return f"::{level} {shown}::{_data(text)}"


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
