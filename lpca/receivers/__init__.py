"""Frozen language models that play B: load, prompt, inject a prefix, score, generate."""
