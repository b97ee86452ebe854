"""Reads the house's own source: which files there are, and what they import."""

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("consensus", "net", "storage", "images", "compute", "noded")


@dataclass(frozen=True)
class Import:
    """One imported module (or module.name) and where."""

    target: str
    line: int


@dataclass(frozen=True)
class Module:
    """One source file."""

    path: Path
    name: str
    tree: ast.Module
    text: str

    @property
    def stem(self) -> str:
        return self.name.rsplit(".", 1)[-1]

    @property
    def where(self) -> str:
        return str(self.path.relative_to(ROOT))

    @property
    def parts(self) -> tuple[str, ...]:
        return tuple(self.name.split("."))

    def imports(self) -> Iterator[Import]:
        """Every import, also those inside functions; `from a import b` gives both `a` and `a.b`."""
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Import):
                for alias in node.names:
                    yield Import(alias.name, node.lineno)
            elif isinstance(node, ast.ImportFrom):
                assert node.level == 0, f"{self.where}:{node.lineno}: relative import"
                assert node.module is not None
                yield Import(node.module, node.lineno)
                for alias in node.names:
                    yield Import(f"{node.module}.{alias.name}", node.lineno)


@cache
def modules() -> list[Module]:
    """Every Python file of the product, tests excluded."""
    found = []
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            relative = path.relative_to(ROOT).with_suffix("")
            parts = relative.parts[:-1] if relative.name == "__init__" else relative.parts
            text = path.read_text()
            found.append(Module(path, ".".join(parts), ast.parse(text), text))
    return found


def service_folders() -> list[Path]:
    """Every folder whose `__init__.py` declares `SERVICE`."""
    return [
        module.path.parent
        for module in modules()
        if module.path.name == "__init__.py" and "SERVICE = Service(" in module.text
    ]
