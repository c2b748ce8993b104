"""Codecs: a message to k latent vectors, and those to a prefix of input embeddings."""
