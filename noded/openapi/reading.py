"""What does a handler read of its request? Found in its own source, so that the description can't say otherwise. Pure.

    await request.json(UserBody)                          the body
    read((await request.json(UserBody)).user, UserForm)   the body, and what is in it besides what isn't known
    request.stream(), request.form()                      bytes, a form
    request.query["name"], whole(query, "limit")          what may be in the query
    listed(request, …, "name", "enabled")                 filters of a list

Functions of the house that a handler passes its request or its query to are read as well.
"""

import ast
import builtins
import functools
import inspect
import textwrap
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

CALLS_MAX: Final = 5  # how deep a request is followed
_HOUSE: Final = ("noded", "consensus", "net", "storage", "images", "compute")
_LISTED_BEFORE_FILTERS: Final = 4


@dataclass(slots=True)
class Reading:
    """What a handler reads. `bodies`: alternatives; each is a type, or a type with the form of one of its fields."""

    bodies: list[tuple[Any, str, Any]] = field(default_factory=list)  # type, field, the form in that field
    query: set[str] = field(default_factory=set)
    streams: bool = False
    is_form: bool = False


@functools.cache
def reading_of(handler: Callable[..., Any]) -> Reading:
    """What the handler, and what it calls with its request, reads."""
    found = Reading()
    _follow(handler, found, 0, set())
    return found


def _follow(function: Callable[..., Any], found: Reading, depth: int, seen: set[object]) -> None:
    function = inspect.unwrap(function)
    if depth > CALLS_MAX or function in seen or not inspect.isfunction(function):
        return
    seen.add(function)
    names: Mapping[str, Any] = {**function.__globals__, **inspect.getclosurevars(function).nonlocals}
    for node in ast.walk(_tree(function)):
        if isinstance(node, ast.Call):
            _call(node, names, found)
            if _passes_on(node) and (called := _called(node.func, names)) is not None:
                _follow(called, found, depth + 1, seen)
        elif isinstance(node, ast.Subscript) and _is_query(node.value):
            found.query |= set(_texts([node.slice]))
        elif isinstance(node, ast.Compare) and isinstance(node.ops[0], ast.In) and _is_query(node.comparators[0]):
            found.query |= set(_texts([node.left]))


def _call(node: ast.Call, names: Mapping[str, Any], found: Reading) -> None:
    function = node.func
    if node.args and _is_query(node.args[0]):
        found.query |= set(_texts(node.args[1:2]))
    if isinstance(function, ast.Name):
        if function.id == "read" and len(node.args) > 1:
            _read(node.args[0], resolved(node.args[1], names), names, found)
        elif function.id == "listed":
            found.query |= {*_texts(node.args[_LISTED_BEFORE_FILTERS:]), "limit", "marker"}
    elif isinstance(function, ast.Attribute):
        if function.attr in {"query_all", "get"} and (function.attr == "query_all" or _is_query(function.value)):
            found.query |= set(_texts(node.args[:1]))
        elif _is_request(function.value) and function.attr == "json" and node.args:
            found.bodies.append((resolved(node.args[0], names), "", None))
        elif _is_request(function.value):
            found.streams |= function.attr == "stream"
            found.is_form |= function.attr == "form"


def _read(part: ast.expr, form: Any, names: Mapping[str, Any], found: Reading) -> None:
    """`(await request.json(Body)).name`, read as `form`."""
    if not isinstance(part, ast.Attribute):
        return
    for inner in ast.walk(part.value):
        if isinstance(inner, ast.Call) and isinstance(inner.func, ast.Attribute) and inner.func.attr == "json":
            found.bodies.append((resolved(inner.args[0], names), part.attr, form))


def _passes_on(node: ast.Call) -> bool:
    return any(_is_request(each) or _is_query(each) for each in node.args)


def _called(function: ast.expr, names: Mapping[str, Any]) -> Callable[..., Any] | None:
    """The function of the house that is called."""
    called = resolved(function, names) if isinstance(function, ast.Name | ast.Attribute) else None
    module = getattr(called, "__module__", None) or ""
    return called if callable(called) and module.split(".")[0] in _HOUSE else None


def resolved(node: ast.expr, names: Mapping[str, Any]) -> Any:
    """What an expression of names, attributes and type arguments stands for; `Any` for what is anything else."""
    found: Any = Any
    if isinstance(node, ast.Name):
        found = names.get(node.id, getattr(builtins, node.id, Any))
    elif isinstance(node, ast.Attribute):
        found = getattr(resolved(node.value, names), node.attr, Any)
    elif isinstance(node, ast.Subscript):
        found = resolved(node.value, names)[resolved(node.slice, names)]
    elif isinstance(node, ast.Tuple):
        found = tuple(resolved(each, names) for each in node.elts)
    elif isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr):
        found = resolved(node.left, names) | resolved(node.right, names)
    return found


def _is_request(node: ast.expr) -> bool:
    return isinstance(node, ast.Name) and node.id == "request"


def _is_query(node: ast.expr) -> bool:
    if isinstance(node, ast.Attribute):
        return node.attr == "query" and _is_request(node.value)
    return isinstance(node, ast.Name) and node.id == "query"


def _texts(nodes: list[ast.expr]) -> Iterator[str]:
    for node in nodes:
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value


def _tree(function: Callable[..., Any]) -> ast.AST:
    return ast.parse(textwrap.dedent(inspect.getsource(function)))
