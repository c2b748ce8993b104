"""Anyone's own codec: found by name, guarded against its mistakes, named by its content."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from lpca.base import PACKAGE
from lpca.base.arguments import parse_codec
from lpca.base.code_identity import code_hash_anew, symbol_of
from lpca.base.errors import RequestError, RunError, located_error
from lpca.base.hashing import hash_data
from lpca.base.registry import suggestion
from lpca.base.supervise import calling, is_interrupt
from lpca.codec.base import Codec, CodecError, bits_of, seeded
from lpca.codec.store import DEFAULT_SEED
from lpca.receivers.hashing import hash_tensors
from lpca.receivers.model import Receiver

Factory = Callable[[Receiver, int], object]
"""Makes a ready codec from a receiver and k."""


@dataclass(frozen=True, eq=False)
class Source:
    """Where a codec of the user's own comes from; `find` raises RequestError."""

    name: str
    find: Callable[[], Factory]


@dataclass(frozen=True, eq=False)
class OwnCodec:
    """A codec that lpca did not train and knows little of.

    `trained_on` holds the messages that it declares as those of its training; None where it
    declares none: then nothing is known. The hashes are None where there is nothing to hash.
    """

    codec: Codec
    name: str
    receiver: str
    k: int
    trained_on: tuple[str, ...] | None
    weights_hash: str | None
    code_hash: str | None
    origin = "own"

    @property
    def content_hash(self) -> str | None:
        """SHA-256 of its weights and code; None where neither can be read."""
        if self.weights_hash is None and self.code_hash is None:
            return None
        return hash_data([self.weights_hash, self.code_hash])

    def to_dict(self) -> dict[str, Any]:
        """As evidence has it: what is not known of the codec is None."""
        return {
            "origin": self.origin,
            "receiver": self.receiver,
            "task": None,
            "code": self.code_hash,
            "weights": self.weights_hash,
            "recipe": None,
            "architecture": self.name,
            "k": self.k,
            "seed": None,
            "bits": bits_of(self.codec),
            "history": [],
            "trained_on": None if self.trained_on is None else len(self.trained_on),
        }


def codec_named(text: str, folders: Sequence[Path]) -> Source:
    """Return the source that `package.module:factory` names, importable from folders too.

    Nothing is imported before `find` is called. Raises RequestError where the name is malformed.
    """
    module, attribute = parse_codec(text)
    return Source(text, lambda: _imported(text, module, attribute, folders))


def codec_given(what: object) -> Source:
    """Return the source of a ready codec, or of a factory, at hand in Python."""
    of = what if isinstance(what, type) or inspect.isroutine(what) else type(what)
    name = f"{of.__module__}:{of.__qualname__}"

    def find() -> Factory:
        if _is_codec(what):
            return lambda receiver, k: what
        return _callable(what, name)

    return Source(name, find)


def obtain_own(source: Source, receiver: Receiver, k: int) -> OwnCodec:
    """Make the user's codec; what it draws at random is seeded.

    Raises RequestError when it cannot be found or made, or is no codec.
    """
    with calling(f"importing codec {source.name}"):
        factory = source.find()
    with _users(f"codec {source.name}: making it", RequestError), seeded(DEFAULT_SEED):
        made = factory(receiver, k)
    if lacking := _lacking(made):
        raise RequestError(
            f"codec {source.name}: what it made is {_kind(made)}, without {' and '.join(lacking)}; "
            "allowed: an object with encode(messages) and decode(latents)"
        )
    try:
        bits, trained_on = bits_of(made), _declared(made)
    except CodecError as error:
        raise RequestError(f"codec {source.name}: {error}") from None
    return OwnCodec(
        codec=_Guarded(source.name, made, k, bits),
        name=source.name,
        receiver=receiver.weights_hash,
        k=k,
        trained_on=trained_on,
        weights_hash=_weights_hash(made),
        code_hash=own_code(factory, made),
    )


class _Guarded:
    """A user's codec whose mistakes become one line that says where they were made."""

    def __init__(self, name: str, codec: Any, k: int, bits: float | None) -> None:
        self.name, self.codec, self.k, self.bits = name, codec, k, bits

    def encode(self, messages: Sequence[str]) -> Tensor:
        if isinstance(self.codec, nn.Module):
            self.codec.eval()
        latents = self._ask("encode", list(messages))
        if latents.ndim != 3 or latents.shape[:2] != (len(messages), self.k):
            raise CodecError(
                f"codec {self.name}: encode gives shape {tuple(latents.shape)}; allowed: "
                f"({len(messages)}, {self.k}, any) (messages, k, width)"
            )
        return latents

    def decode(self, latents: Tensor) -> Tensor:
        return self._ask("decode", latents)

    def _ask(self, what: str, given: object) -> Tensor:
        with _users(f"codec {self.name}: {what}", CodecError):
            found = getattr(self.codec, what)(given)
        if not isinstance(found, Tensor):
            raise CodecError(f"codec {self.name}: {what} gives {_kind(found)}; allowed: a Tensor")
        return found


@contextmanager
def _users(what: str, kind: type[RunError]) -> Iterator[None]:
    """Run code of the user's: whatever it raises is one error of that kind, said in one line.

    It may raise what is no Exception, be it SystemExit; a Ctrl-C stays one.
    """
    try:
        with calling(what):
            yield
    except BaseException as error:
        if is_interrupt(error):
            raise
        raise kind(f"{what} raised {located_error(error)}") from error


def _imported(text: str, module: str, attribute: str, folders: Sequence[Path]) -> Factory:
    places = dict.fromkeys(map(str, folders))
    sys.path[:0] = [place for place in places if place not in sys.path]
    try:
        found: Any = import_module(module)
    except BaseException as error:
        if is_interrupt(error):
            raise
        missing = error.name if isinstance(error, ModuleNotFoundError) else None
        if missing is None or not (module + ".").startswith(missing + "."):
            raise RequestError(
                f"--codec {text}: importing it raised {located_error(error)}"
            ) from error
        raise RequestError(
            f"--codec {text}: there is no module {missing}; allowed: a module in "
            f"{', '.join(places)}, or one that is installed"
        ) from error
    for part in attribute.split("."):
        if not hasattr(found, part):
            own = {n: one for n, one in vars(found).items() if callable(one)}
            names = [n for n, one in own.items() if getattr(one, "__module__", None) == module]
            raise RequestError(f"--codec {text}: it has no {part!r}; {suggestion(part, names)}")
        found = getattr(found, part)
    return _callable(found, text)


def _callable(what: Any, name: str) -> Factory:
    if _is_codec(what) or not callable(what):
        kind = "a codec already" if _is_codec(what) else _kind(what)
        raise RequestError(
            f"codec {name}: it is {kind}; allowed: a function factory(receiver, k) that returns a "
            "codec"
        )
    factory: Factory = what
    return factory


def _lacking(what: object) -> list[str]:
    return [name for name in ("encode", "decode") if not callable(getattr(what, name, None))]


def _is_codec(what: object) -> bool:
    return not isinstance(what, type) and not _lacking(what)


def _declared(codec: object) -> tuple[str, ...] | None:
    declared = getattr(codec, "trained_on", None)
    if declared is None:
        return None
    if isinstance(declared, str) or not isinstance(declared, Sequence):
        raise CodecError(f"trained_on is {_kind(declared)}; allowed: a sequence of messages")
    if strays := [one for one in declared if not isinstance(one, str)]:
        raise CodecError(f"trained_on holds {_kind(strays[0])}; allowed: messages, each a str")
    return tuple(declared)


def _weights_hash(codec: object) -> str | None:
    state = codec.state_dict() if isinstance(codec, nn.Module) else {}
    tensors = {name: value for name, value in state.items() if isinstance(value, Tensor)}
    return hash_tensors(tensors.items()) if tensors else None


def own_code(factory: object, codec: object) -> str | None:
    """Hash the modules of both whole, and what they use of what they import from her own files.

    None where there is no source to be read.
    """
    while isinstance(factory, partial):
        factory = factory.func
    own = {symbol_of(maker).module for maker in (factory, codec)}
    modules = [sys.modules[name] for name in sorted(own) if name.partition(".")[0] != PACKAGE.name]
    try:
        # whole: what makes the codec stands in them, be it a lambda
        return code_hash_anew(*modules) if modules else None
    except (LookupError, ValueError, OSError, SyntaxError):
        pass
    # what was typed into a notebook: as far as Python can still show it
    try:
        return hash_data(inspect.getsource(type(codec)))
    except (OSError, TypeError):
        return None


def _kind(what: object) -> str:
    return "None" if what is None else f"of type {type(what).__name__}"
