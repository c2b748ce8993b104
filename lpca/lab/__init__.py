"""The laboratory: a declared grid of codecs under one gate, and one table of what came out."""
