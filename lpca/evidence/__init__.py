"""What a verdict rests on: one typed object, written once and read by one reader. No torch."""

from lpca.evidence.files import read_evidence
from lpca.evidence.model import Evidence

__all__ = ["Evidence", "read_evidence"]
