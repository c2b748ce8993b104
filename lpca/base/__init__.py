"""What every room may use: errors, exit codes, files, hashes, the version and where it stands."""

from __future__ import annotations

from pathlib import Path

__version__ = "0.1.0"
PACKAGE = Path(__file__).parents[1]
"""The folder of the package `lpca`."""
