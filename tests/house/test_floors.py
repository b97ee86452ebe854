"""Imports go down only; the wall round all I/O stands; services meet through models and commands."""

import ast
import sys
from itertools import pairwise

from tests.house.source import ROOT, Module, modules, service_folders

FLOORS = ("noded.core", "consensus", "net", "storage", "images", "compute", "noded")
WALLED = "host"
MAY_CROSS_THE_WALL = {"noded.daemon", "noded.cli.asking", "noded.cli.offline"}  # where a process begins
SHARED_BY_SERVICES = {"model", "commands", "links", "__init__"}
PURE = {"model", "commands", "plan", "views", "versions"}
IMPURE_IMPORTS = {
    "asyncio", "datetime", "http", "io", "os", "pathlib", "random", "secrets", "select", "shutil", "signal", "socket",
    "ssl", "subprocess", "tempfile", "threading", "time", "trio", "urllib.request", "uuid",
    "noded.core.clock", "noded.core.dice",
}  # fmt: skip


def floor_of(name: str) -> int | None:
    """The floor a dotted name stands on, or None for libraries."""
    if name == "noded.core" or name.startswith("noded.core."):
        return 0
    top = name.split(".", maxsplit=1)[0]
    return FLOORS.index(top) if top in FLOORS else None


def test_imports_go_down_only() -> None:
    wrong = [
        f"{module.where}:{imported.line}: floor {floor_of(module.name)} imports {imported.target}"
        for module in modules()
        for imported in module.imports()
        if (target := floor_of(imported.target)) is not None and target > (floor_of(module.name) or 0)
    ]
    assert wrong == []


def test_the_ground_needs_only_the_standard_library_and_msgspec() -> None:
    allowed = set(sys.stdlib_module_names) | {"msgspec", "noded"}
    wrong = [
        f"{module.where}:{imported.line}: {imported.target}"
        for module in modules()
        if floor_of(module.name) == 0
        for imported in module.imports()
        if imported.target.split(".")[0] not in allowed
    ]
    assert wrong == []


def test_only_the_daemon_reaches_into_host_folders() -> None:
    wrong = [
        f"{module.where}:{imported.line}: {imported.target}"
        for module in modules()
        if WALLED not in module.parts and module.name not in MAY_CROSS_THE_WALL
        for imported in module.imports()
        if floor_of(imported.target) is not None and WALLED in imported.target.split(".")
    ]
    assert wrong == []


def test_pure_files_import_no_clock_no_dice_no_machine() -> None:
    wrong = [
        f"{module.where}:{imported.line}: {imported.target}"
        for module in modules()
        if module.stem in PURE and WALLED not in module.parts
        for imported in module.imports()
        if imported.target in IMPURE_IMPORTS or imported.target.split(".")[0] in IMPURE_IMPORTS
    ]
    assert wrong == []


def _services() -> list[str]:
    """The dotted names of all service folders."""
    return [".".join(folder.relative_to(ROOT).parts) for folder in service_folders()]


def _service_of(name: str, services: list[str]) -> str | None:
    return max((service for service in services if name == service or name.startswith(service + ".")), default=None)


def test_services_meet_only_through_models_and_commands() -> None:
    services = _services()
    wrong = []
    for module in modules():
        mine = _service_of(module.name, services)
        if mine is None:
            continue
        for imported in module.imports():
            theirs = _service_of(imported.target, services)
            if theirs is None or theirs == mine:
                continue
            rest = imported.target.removeprefix(theirs).strip(".").split(".")[0]
            if rest and rest not in SHARED_BY_SERVICES:
                wrong.append(f"{module.where}:{imported.line}: {imported.target}")
    assert wrong == []


def test_services_form_no_cycle() -> None:
    services = _services()
    edges: dict[str, set[str]] = {service: set() for service in services}
    for module in modules():
        mine = _service_of(module.name, services)
        for imported in module.imports():
            theirs = _service_of(imported.target, services)
            if mine is not None and theirs is not None and theirs != mine:
                edges[mine].add(theirs)
    assert _cycle(edges) == []


def _cycle(edges: dict[str, set[str]]) -> list[str]:
    done: set[str] = set()

    def walk(node: str, trail: list[str]) -> list[str]:
        if node in trail:
            return [*trail[trail.index(node) :], node]
        if node in done:
            return []
        for following in sorted(edges[node]):
            if found := walk(following, [*trail, node]):
                return found
        done.add(node)
        return []

    return next((found for node in sorted(edges) if (found := walk(node, []))), [])


def test_a_cycle_would_be_found() -> None:
    cycle = _cycle({"a": {"b"}, "b": {"c"}, "c": {"a"}})
    assert all(here != there for here, there in pairwise(cycle))
    assert len(cycle) == 4


def _is_contract(found: ast.ClassDef) -> bool:
    """Whether the class only says what others do: a Protocol."""
    return any(isinstance(base, ast.Name) and base.id == "Protocol" for base in found.bases)


def test_async_stays_in_the_rooms_that_may_block() -> None:
    # `authority`, `examine` and `measure` answer peer calls as `api` answers HTTP; `retry` is a loop that handlers
    # share. The dashboard's `pages` are its `api`, a module a noun.
    may = {
        "api",
        "authority",
        "examine",
        "explain",
        "measure",
        "reconcile",
        "daemon",
        "proposals",
        "peers",
        "loop",
        "retry",
    }

    def blocks(module: Module) -> bool:
        return bool({"host", "gateway", "pages", "reconcile"} & set(module.parts)) or module.stem in may

    def contract_methods(module: Module) -> set[ast.AST]:
        contracts = [node for node in ast.walk(module.tree) if isinstance(node, ast.ClassDef) and _is_contract(node)]
        return {method for contract in contracts for method in ast.walk(contract)}

    wrong = [
        f"{module.where}:{node.lineno}: async def {node.name}"
        for module in modules()
        if not blocks(module)
        for node in ast.walk(module.tree)
        if isinstance(node, ast.AsyncFunctionDef) and node not in contract_methods(module)
    ]
    assert wrong == []
