"""KVComm-like: keys and values of chosen layers, of the message read by itself, untrained.

`pytest gates/ -m gate1_open --k 32 --receiver stub --codec examples.channels.kvcomm:KVComm`

The original (Shi, Chiesa, Maguire, Kostic: "KVComm: Enabling Efficient LLM Communication through
Selective KV Sharing", 2025, arXiv 2510.03346) lets a sender read its context and hands the keys
and values of some layers to a receiver of the same model, which reads its question behind them;
layers are ranked by how much attention the question pays to the context, on one calibration
sample, times a Gaussian prior around the middle of the stack. Kept here: the sharing, no training,
and the prior, of which half the layers are taken. Left out: the attention score, since A does not
have B's prompt. B sees nothing of the message in the other layers.
"""

import math

from examples.channels.cache import Cache

SHARE = 0.5
"""Of the layers that cross; the paper's experiments share 0.3 to 0.7."""
MIDDLE, WIDTH = 0.5, 0.25
"""Of the prior, as parts of the stack's depth."""


def chosen(layers, share):
    """Return the layers, rising, that the prior ranks highest: a share of them, at least one."""

    def prior(layer):
        away = (layer + 0.5) / layers - MIDDLE
        return math.exp(-(away**2) / (2 * WIDTH**2))

    # of two layers that are equally far from the middle the later one
    ranked = sorted(range(layers), key=lambda layer: (-round(prior(layer), 9), -layer))
    return tuple(sorted(ranked[: max(1, round(share * layers))]))


class KVComm(Cache):
    """A cache [heads, n, head_dim] of half the layers, keys as of a text that begins at 0."""

    share = SHARE

    def __init__(self, receiver, k):
        self.layers = chosen(receiver.layers, self.share)
        super().__init__(receiver, k)


class All(KVComm):
    """The same of all layers: what B would have of the message without its own prompt before."""

    share = 1.0
