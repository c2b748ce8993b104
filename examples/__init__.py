"""Specs and codecs to look at and to run."""
