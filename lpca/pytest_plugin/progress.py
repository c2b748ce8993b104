"""Where progress is shown in a pytest run, beside pytest's own lines."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from lpca.report.console import StderrConsole, own_line


class Display:
    """Shows a run's progress: in one process between pytest's lines, or as one of its workers."""

    def __init__(self, config: pytest.Config) -> None:
        worker = getattr(config, "workerinput", {}).get("workerid", "")
        self._config, self._torn = config, False
        self.console = StderrConsole(worker, own_line if worker else self._end_line)

    @property
    def _reporter(self) -> pytest.TerminalReporter | None:
        plugins = self._config.pluginmanager
        found: pytest.TerminalReporter | None = plugins.getplugin("terminalreporter")
        return found

    @contextmanager
    def around(self, item: pytest.Item) -> Iterator[None]:
        """Let progress be seen while a test measures; afterwards pytest's line goes on."""
        capture = self._config.pluginmanager.getplugin("capturemanager")
        with capture.global_and_fixture_disabled():
            try:
                yield
            finally:
                self.console.close()
                if not isinstance(sys.exception(), KeyboardInterrupt):
                    self._go_on(item)

    def _go_on(self, item: pytest.Item) -> None:
        """Begin the line again that was ended."""
        if self._torn and (reporter := self._reporter) is not None:
            reporter.pytest_runtest_logstart(item.nodeid, item.location)
            self._torn = False

    def _end_line(self) -> None:
        """End the line that pytest is writing."""
        reporter = self._reporter
        if reporter is None or not self._config.get_terminal_writer().width_of_current_line:
            return
        reporter.ensure_newline()
        if self._config.get_terminal_writer().width_of_current_line:
            reporter.line("")
        reporter.flush()
        self._torn = True
