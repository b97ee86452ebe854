"""What may not be in the house: names that say nothing, faults that vanish, files nobody can read in one sitting."""

import ast
import re

from tests.house.source import Module, modules

EMPTY_NAMES = {"utils", "util", "common", "helpers", "helper", "misc"}
FILE_LINES_MAX = 500
FUNCTION_LINES_MAX = 60
STATUS_MODULE = "noded.gateway.faults"


def test_no_file_has_a_name_that_says_nothing() -> None:
    assert [module.where for module in modules() if EMPTY_NAMES & set(module.parts)] == []


def _classes(module: Module) -> list[ast.ClassDef]:
    return [node for node in ast.walk(module.tree) if isinstance(node, ast.ClassDef)]


def test_no_class_is_called_manager() -> None:
    assert [
        f"{module.where}:{found.lineno}: {found.name}"
        for module in modules()
        for found in _classes(module)
        if "Manager" in found.name
    ] == []


def test_files_are_read_in_one_sitting() -> None:
    long = {module.where: module.text.count("\n") for module in modules()}
    assert {where: lines for where, lines in long.items() if lines > FILE_LINES_MAX} == {}


def test_functions_are_read_in_one_glance() -> None:
    wrong = [
        f"{module.where}:{node.lineno}: {node.name} has {(node.end_lineno or 0) - node.lineno + 1} lines"
        for module in modules()
        for node in ast.walk(module.tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and (node.end_lineno or 0) - node.lineno + 1 > FUNCTION_LINES_MAX
    ]
    assert wrong == []


def test_every_module_says_which_question_it_answers() -> None:
    assert [module.where for module in modules() if module.name != "noded" and not ast.get_docstring(module.tree)] == []


def test_no_fault_vanishes_in_silence() -> None:
    wrong = [
        f"{module.where}:{node.lineno}"
        for module in modules()
        for node in ast.walk(module.tree)
        if isinstance(node, ast.ExceptHandler)
        and (node.type is None or (isinstance(node.type, ast.Name) and node.type.id in {"Exception", "BaseException"}))
        and all(isinstance(line, ast.Pass | ast.Continue) for line in node.body)
    ]
    assert wrong == []


def test_nothing_is_pickled() -> None:
    banned = {"pickle", "marshal", "shelve", "dill", "cloudpickle"}
    wrong = [
        f"{module.where}:{imported.line}"
        for module in modules()
        for imported in module.imports()
        if imported.target.split(".")[0] in banned
    ]
    assert wrong == []


def test_no_shell_runs_anything() -> None:
    wrong = [
        f"{module.where}:{number}"
        for module in modules()
        for number, line in enumerate(module.text.splitlines(), start=1)
        if re.search(r"shell=True|os\.system\(|os\.popen\(", line)
    ]
    assert wrong == []


def test_http_statuses_live_in_one_file() -> None:
    pattern = re.compile(r"HTTPStatus|status_code\s*=\s*[1-5]\d\d|\bstatus\s*=\s*[1-5]\d\d\b")
    wrong = [
        f"{module.where}:{number}: {line.strip()}"
        for module in modules()
        if module.name != STATUS_MODULE and "cli" not in module.parts
        for number, line in enumerate(module.text.splitlines(), start=1)
        if pattern.search(line)
    ]
    assert wrong == []


def test_the_whole_is_reached_by_absolute_imports() -> None:
    for module in modules():
        list(module.imports())  # asserts that none is relative


def test_nothing_is_left_for_later() -> None:
    pattern = re.compile(r"\b(TODO|FIXME|XXX|HACK)\b")
    wrong = [
        f"{module.where}:{number}"
        for module in modules()
        for number, line in enumerate(module.text.splitlines(), start=1)
        if pattern.search(line)
    ]
    assert wrong == []
