"""What answers in a side's process: the user's codec, made there, and one of its two ends.

It runs in the child, which imports of lpca only what this needs: transformers comes with a
receiver, and a receiver only where the codec asks for more of it than is told.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import asdict, replace
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from lpca.base.arguments import parse_codec
from lpca.base.code_identity import symbol_of
from lpca.base.errors import RequestError
from lpca.channel.child import Answer, Serve
from lpca.channel.packets import View, names, packed, unpacked
from lpca.codec.users_code import Factory, Guarded, GuardedChannel, Made, imported, make

if TYPE_CHECKING:
    from lpca.receivers.model import Receiver

MAKING = "making it"
"""The first question; then each side is asked by the name of its end."""


class ToldReceiver:
    """A receiver as it is told to a side: what is cheap to tell, and the rest when it is asked for.

    Args:
        told: its `facts`, and how it is `loaded`.
    """

    def __init__(self, told: Mapping[str, Any]) -> None:
        self._told = told
        facts = dict(told["facts"])
        facts["device"] = torch.device(facts["device"])
        facts["dtype"] = getattr(torch, facts["dtype"])
        self.__dict__.update(facts)

    def __getattr__(self, name: str) -> Any:
        # what Python asks of any object is no reason to load a model
        if name.startswith("__"):
            raise AttributeError(name)
        return getattr(self._loaded, name)

    def _kind(self) -> type:
        # where nobody has loaded the class, nobody compares with it
        known = sys.modules.get("lpca.receivers.model")
        return ToldReceiver if known is None else known.Receiver

    __class__: Any = property(_kind)

    @cached_property
    def _loaded(self) -> Receiver:
        """A receiver of the side's own, of the same name, type and device."""
        from lpca.gatespec.model import Prompt
        from lpca.receivers.load import load_receiver

        how = dict(self._told["loaded"])
        place, prompt = how.pop("place"), Prompt(**how.pop("prompt"))
        found = replace(load_receiver(place, **how), name=self.name).prompted(prompt)
        if found.weights_hash != self.weights_hash:
            raise RequestError(
                f"receiver {self.name}: {place} holds other weights than the judge's; allowed "
                "here: a receiver that is loaded by its name, or --in-process"
            )
        return found


def serve(start: Mapping[str, Any]) -> Serve:
    """Return what answers a side's questions; `start` as `RemoteCodec` tells it."""
    made: list[Made] = []

    def answer(header: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> Answer:
        asked = header["ask"]
        if asked == MAKING:
            module, attribute = parse_codec(start["codec"])
            folders = list(map(Path, start["folders"]))
            factory = imported(start["codec"], module, attribute, folders)
            made.append(make(start["codec"], factory, ToldReceiver(start["receiver"]), start["k"]))
            return _facts(factory, made[0]), {}
        if asked not in start["ends"]:
            raise RequestError(f"this side is not asked for {asked}")
        with torch.no_grad():
            found = _asked(asked, made[0].codec, header, tensors)
        return {"device": next((one.device.type for one in found.values()), "cpu")}, found

    return answer


def _asked(
    what: str,
    codec: Guarded | GuardedChannel,
    header: Mapping[str, Any],
    tensors: Mapping[str, Tensor],
) -> Mapping[str, Tensor]:
    """What an end answers, as tensors by name."""
    if isinstance(codec, Guarded):
        if what == "encode":
            return {"found": codec.encode(header["messages"])}
        return {"found": codec.decode(tensors["latents"].to(_device(header["device"])))}
    if what == "send":
        sent = codec.send([View(tuple(messages), public) for messages, public in header["views"]])
    else:
        device = _device(header["device"])
        given = {name: tensor.to(device) for name, tensor in tensors.items()}
        sent = codec.receive(list(unpacked(given, names(header["count"])).values()))
    return packed(dict(zip(names(len(sent)), sent, strict=True)))


def _facts(factory: Factory, made: Made) -> dict[str, Any]:
    """What a side says of its codec."""
    while isinstance(factory, partial):
        factory = factory.func
    modules = {symbol_of(one).module for one in (factory, made.object)}
    return {
        "bits": made.bits,
        "trained_on": None if made.trained_on is None else list(made.trained_on),
        "weights": made.weights_hash,
        "modules": sorted(modules),
        "port": asdict(made.codec.port) if isinstance(made.codec, GuardedChannel) else None,
        "receives": made.codec.receives if isinstance(made.codec, GuardedChannel) else True,
    }


def _device(name: str) -> str:
    """Where the latents were made, where this side has such a device as well."""
    return name if name != "cuda" or torch.cuda.is_available() else "cpu"
