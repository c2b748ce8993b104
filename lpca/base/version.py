"""The version of this package, as pyproject.toml states it, and where it stands."""

from pathlib import Path

__version__ = "0.1.0"
PACKAGE = Path(__file__).parents[1]
"""The folder of the package `lpca`."""
