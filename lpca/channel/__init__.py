"""The wire between two sides of a channel: what crosses is bytes, each side in its own process."""

from lpca.channel.packets import Packet, Port, View

__all__ = ["Packet", "Port", "View"]
