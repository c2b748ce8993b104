"""LPCA: does a latent channel carry meaning to a frozen language model?"""

__version__ = "0.1.0"
