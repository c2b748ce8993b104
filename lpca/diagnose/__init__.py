"""What to look at inside a codec, on validation episodes: never a verdict."""

from lpca.diagnose.scales import scale_sweep

__all__ = ["scale_sweep"]
