"""The task `episodes`: a user's own, from a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from lpca.base.hashing import hash_data
from lpca.base.tables import Source, TableError, shown_source, source_at
from lpca.tasks import TASKS, Settings, TaskError, checked_settings, whole_options
from lpca.tasks.fields import CONTEXT, Columns, Row
from lpca.tasks.row_tasks import RowTask, Verifier, checked_verifier
from lpca.tasks.rows import read_rows

MAP = "map."
"""How the keys of a spec's `map:` are called among the settings."""


@TASKS.register("episodes")
@dataclass(frozen=True)
class Episodes(RowTask):
    """Rows of a user's own table."""

    file: Source
    rows: tuple[Row, ...]
    options: int = 4
    verifier: Verifier | None = None
    name = "episodes"

    @classmethod
    def from_settings(cls, settings: Settings, folder: Path) -> Self:
        """Build from a spec's `task:` entries; `file` is a path from `folder`, or a data set.

        Raises TaskError on a setting or a row that is not as it must be.
        """
        source, columns, options = cls.table(settings, folder)
        verifier = checked_verifier(cls.name, settings, folder)
        return cls(source, tuple(read_rows(source, columns)), options, verifier)

    @classmethod
    def table(cls, settings: Settings, folder: Path) -> tuple[Source, Columns, int]:
        """Return which table `task:` entries name, its columns, and how many options rows get.

        Raises TaskError on a setting that is not as it must be.
        """
        paths = {
            key.removeprefix(MAP): str(held)
            for key, held in settings.items()
            if key.startswith(MAP)
        }
        rest = {key: held for key, held in settings.items() if not key.startswith(MAP)}
        allowed = ("file", "options", "context", "map", "verifier")
        settings = checked_settings(cls.name, rest, allowed)
        file, options = settings.get("file"), settings.get("options", 4)
        if not isinstance(file, str):
            found = "missing" if file is None else file
            raise TaskError(
                f"task episodes: file is {found}; allowed: the path of a JSONL file, of CSV or "
                "Parquet, or hf:NAME",
                "file",
            )
        whole_options(cls.name, options)
        columns = Columns(paths, str(settings.get("context", CONTEXT)))
        try:
            source = source_at(file, folder)
        except TableError as error:
            raise TaskError(f"task episodes: {error}", "file") from None
        return source, columns, options

    def all_rows(self) -> Sequence[Row]:
        """Return the rows of the file."""
        return self.rows

    @property
    def shown(self) -> str:
        """The file's name."""
        return shown_source(self.file)

    def contents(self) -> Mapping[str, str]:
        """The hash of the test rows' content, which `file` names."""
        return {"file": hash_data([row.content for row in self._rows("test", "all")])}
