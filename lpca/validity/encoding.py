"""Is the codec a function of the message alone?"""

from __future__ import annotations

import torch

from lpca.validity.audit import Audit, Leak


def encoding_repeatable(audit: Audit) -> str:
    """The same messages give the same latents, whenever and beside whatever they are encoded."""
    channel = audit.setting.coded()
    messages = [audit.episodes[i].message for i in audit.sample]
    first, second = channel.encode_afresh(messages), channel.encode_afresh(messages)
    if not torch.equal(first, second):
        raise Leak("encoding the same messages twice gives other latents: is dropout on?")
    used = torch.stack([p.to(first) for p in channel.prefixes(messages)])
    off = float((first - used).norm() / used.norm().clamp(min=1e-12))
    if off > (1e-4 if audit.is_exact else 5e-2):
        raise Leak(f"latents depend on what else is in the batch: relative difference {off:.2g}")
    return f"{len(messages)} messages twice: identical; in another batch: within {off:.1g}"
