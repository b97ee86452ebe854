"""Builds one sample of any struct from its type alone, the same every time: what the frozen encodings are made of."""

import enum
import types
import typing
from collections.abc import Sequence

import msgspec


def sample(kind: object, depth: int = 0) -> object:
    """A value of the given type: every field filled, optional ones too."""
    origin = typing.get_origin(kind)
    arguments = typing.get_args(kind)
    if kind in _PLAIN:
        return _PLAIN[kind]
    if isinstance(kind, typing.NewType):
        return sample(kind.__supertype__, depth)
    if isinstance(kind, type) and issubclass(kind, enum.Enum):
        return next(iter(kind))
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        hints = typing.get_type_hints(kind, include_extras=False)
        return kind(**{field.name: sample(hints[field.name], depth + 1) for field in msgspec.structs.fields(kind)})
    if origin in (types.UnionType, typing.Union):
        return sample(next(choice for choice in arguments if choice is not type(None)), depth)
    if origin is typing.Literal:
        return arguments[0]
    return _container(origin, arguments, depth)


_PLAIN: dict[object, object] = {str: "a", int: 1, float: 0.5, bool: True, bytes: b"b", typing.Any: "any", object: "o"}


def _container(origin: object, arguments: Sequence[object], depth: int) -> object:
    if origin is tuple:
        kinds = arguments[:1] if len(arguments) == 2 and arguments[1] is Ellipsis else arguments
        return tuple(sample(each, depth) for each in kinds)
    if origin in (list, frozenset, set):
        return origin([sample(arguments[0], depth)])
    if origin is dict:
        return {sample(arguments[0], depth): sample(arguments[1], depth)}
    raise AssertionError(f"no sample for {origin}[{arguments}]: teach tests/house/samples.py")
