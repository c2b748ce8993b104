"""The task `qa`: real questions, whose passage is the message."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import ClassVar, Self

from lpca.base.registry import suggestion
from lpca.tasks import TASKS, Settings, Split, TaskError, checked_settings, whole_options
from lpca.tasks.fields import Columns, Row
from lpca.tasks.passages import DATA, is_kept, rows_of
from lpca.tasks.row_tasks import RowTask, Verifier, checked_verifier
from lpca.tasks.rows import read_rows

MESSAGES = ("sentence", "passage")
CONTEXT = "{message}\nQ: {question}\nA:"
"""Of six forms the one with most between p1 and p0 on SmolLM2's validation episodes."""


@TASKS.register("qa", groups=470)
@dataclass(frozen=True)
class Questions(RowTask):
    """Questions of a data set, split by passage; A has a sentence or the passage, B the question.

    Six tenths of the passages are for the test: there are too few to train much on.
    """

    data: str = "squad"
    message: str = "sentence"
    options: int = 4
    verifier: Verifier | None = None
    name = "qa"
    tenths: ClassVar[Mapping[Split, range]] = {
        "train": range(3),
        "validation": range(3, 4),
        "test": range(4, 10),
    }

    @classmethod
    def from_settings(cls, settings: Settings, folder: Path) -> Self:
        """Build from a spec's `task:` entries; nothing is fetched until rows are needed."""
        held = checked_settings(cls.name, settings, ("data", "message", "options", "verifier"))
        for name, allowed in (("data", tuple(DATA)), ("message", MESSAGES)):
            if name in held and held[name] not in allowed:
                told = suggestion(str(held[name]), allowed)
                raise TaskError(f"task qa: {name} is {held[name]!r:.62}; {told}", name)
        whole_options(cls.name, held.get("options", 4))
        return cls(**{**held, "verifier": checked_verifier(cls.name, held, folder)})

    @property
    def is_at_hand(self) -> bool:
        """Whether the rows were fetched before."""
        return is_kept(self.data)

    def all_rows(self) -> Sequence[Row]:
        """Return the data set's rows, fetched at the first call."""
        return self._all

    @property
    def shown(self) -> str:
        """The task and its data set."""
        return f"task qa, {self.data}"

    @cached_property
    def _all(self) -> tuple[Row, ...]:
        names = ("question", "answer", "distractors", "kind", "group", "id")
        columns = Columns({**{name: name for name in names}, "message": self.message}, CONTEXT)
        return tuple(read_rows(rows_of(self.data), columns))
