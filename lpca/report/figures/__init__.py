"""Pictures from evidence. Importing this imports matplotlib: do so only where one is drawn."""

from lpca.report.figures.gate import gate_figure
from lpca.report.figures.style import svg

__all__ = ["gate_figure", "svg"]
