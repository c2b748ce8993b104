"""Does what B is given fit into the receiver's context window?"""

from __future__ import annotations

from collections.abc import Iterable

from lpca.base.errors import RequestError
from lpca.receivers.model import Receiver
from lpca.tasks import Episode


def refuse_too_long(receiver: Receiver, episodes: Iterable[Episode], k: int) -> None:
    """Refuse episodes whose prompt, slot and longest option exceed the receiver's positions.

    The slot holds the message's text or k latents, whichever is longer. Nothing is cut short. A
    receiver whose configuration names no limit is taken to have none.

    Raises:
        RequestError: the first episode that is too long, with its length in tokens.
    """
    config = receiver.model.config.get_text_config()
    limit = getattr(config, "max_position_embeddings", None)
    if not isinstance(limit, int):
        return
    for episode in episodes:
        texts = (episode.before, episode.message, episode.after, *episode.options)
        # No token is shorter than a byte; each segment may get one more.
        if sum(len(text.encode()) + 1 for text in texts) + k <= limit:
            continue
        if (length := _length(receiver, episode, k)) > limit:
            raise RequestError(
                f"receiver {receiver.name}: an episode takes {length} positions, of which its "
                f"message {len(receiver.message_ids(episode.message))}: {episode.message!r:.60}; "
                f"allowed: at most {limit}; shorten it, or take a receiver with more"
            )


def _length(receiver: Receiver, episode: Episode, k: int) -> int:
    slot = max(k, len(receiver.message_ids(episode.message)))
    around = receiver.prompt_start_ids(episode.before) + receiver.segment_ids(episode.after)
    return len(around) + slot + max(len(receiver.option_ids(one)) for one in episode.options)
