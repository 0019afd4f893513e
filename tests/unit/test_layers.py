"""The law of the house, read off the sources: what may import what, and how long things may be (design §3)."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import supapy

ROOT = Path(supapy.__file__).parent
LONGEST_MODULE_LINES = 399
LONGEST_FUNCTION_LINES = 49

# From the bottom up. A module imports from lower layers, and from its own where that isn't a fold of strangers.
LAYERS: tuple[tuple[str, ...], ...] = (
    ("", "errors", "model", "names", "secret", "events"),
    ("settings", "retry", "stream", "frames", "loop"),
    ("store", "project"),
    ("catalog", "draft", "backup", "known", "journal", "parts"),
    ("choice", "back_up", "restore", "activate", "cutover", "verify", "extract", "doctor"),
    ("doors", "sandbox"),
    ("cli", "__main__"),
)
STRANGERS = (("settings", "retry", "stream", "frames", "loop"), ("store", "project"))
# The rooms of the database part, from the bottom up; what lies in none of them is above all.
DATABASE_ROOMS = ("sql", "platform", "alive", "rows", "rules", "script", "inventory", "load", "chosen")
# Who may import what isn't ours and isn't Python's.
FENCES: dict[str, tuple[str, ...]] = {
    "psycopg": ("project/postgres.py", "parts/database/", "sandbox/"),
    "aiohttp": ("project/http.py", "sandbox/"),
    "yarl": ("project/http.py", "sandbox/"),
    "click": ("cli/",),
    "rich": ("cli/",),
    "dotenv": ("settings.py",),
    "platformdirs": ("project/pgdownload.py", "sandbox/"),
    "backports": ("frames.py",),
    "compression": ("frames.py",),
}
PRINTS = ("cli/",)
READS_ENVIRONMENT = ("settings.py",)

Files = dict[str, str]


def sources() -> Files:
    return {path.relative_to(ROOT).as_posix(): path.read_text() for path in sorted(ROOT.rglob("*.py"))}


def imported(path: str, tree: ast.AST) -> Iterator[str]:
    """Every module a file imports, also inside functions and for types only."""
    package = ["supapy", *path.split("/")[:-1]]
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            module = ".".join([*base, *([node.module] if node.module else [])])
            yield module
            yield from (f"{module}.{name.name}" for name in node.names)


def home(module: str) -> str:
    """The part of the house that a module of ours stands in: "store", "draft", …"""
    first = module.split(".")[1] if "." in module else ""
    return first if any(first in layer for layer in LAYERS) else ""


def home_of_file(path: str) -> str:
    first = path.split("/")[0].removesuffix(".py")
    return "" if first == "__init__" else first


def layer(name: str) -> int:
    return next(number for number, names in enumerate(LAYERS) if name in names)


def climbs(path: str, tree: ast.AST) -> Iterator[str]:
    mine = home_of_file(path)
    if not any(mine in names for names in LAYERS):
        yield f"{path} stands in no layer"
        return
    for module in imported(path, tree):
        if module.split(".")[0] != "supapy":
            continue
        other = home(module)
        if layer(other) > layer(mine):
            yield f"{path} climbs to {module}"
        if other != mine and any(mine in group and other in group for group in STRANGERS):
            yield f"{path} sees its stranger {module}"


def meddling_parts(path: str, tree: ast.AST) -> Iterator[str]:
    """Parts that import one another, and parts that know of the machinery above them."""
    if not path.startswith("parts/"):
        return
    mine = path.split("/")[1].removesuffix(".py")
    for module in imported(path, tree):
        pieces = module.split(".")
        if pieces[0] != "supapy" or len(pieces) < 2:
            continue
        if pieces[1] == "parts" and len(pieces) > 2 and pieces[2] not in (mine, "base"):
            yield f"{path} sees another part: {module}"
        if pieces[1] in ("store", "catalog", "draft", "backup"):
            yield f"{path} reaches past its waist: {module}"


def floor(pieces: list[str]) -> int:
    """How high a file or module of the database part stands, by the pieces of its path from `parts` on."""
    return DATABASE_ROOMS.index(pieces[2]) if pieces[2] in DATABASE_ROOMS else len(DATABASE_ROOMS)


def climbs_in_the_database(path: str, tree: ast.AST) -> Iterator[str]:
    mine = path.split("/")
    if mine[:2] != ["parts", "database"]:
        return
    for module in imported(path, tree):
        other = module.split(".")[1:]
        if other[:2] == ["parts", "database"] and len(other) > 2 and floor(other) > floor(mine):
            yield f"{path} climbs to {module}"


def breached_fences(path: str, tree: ast.AST) -> Iterator[str]:
    for module in imported(path, tree):
        top = module.split(".")[0]
        if top in FENCES and not path.startswith(FENCES[top]):
            yield f"{path} imports {top}"


def loud(path: str, tree: ast.AST) -> Iterator[str]:
    if path.startswith(PRINTS):
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print":
            yield f"{path}:{node.lineno} prints"
        if isinstance(node, ast.Attribute) and node.attr in ("stdout", "stderr") and _named(node.value, "sys"):
            yield f"{path}:{node.lineno} writes to the terminal"


def nosy(path: str, tree: ast.AST) -> Iterator[str]:
    if path.startswith(READS_ENVIRONMENT):
        return
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.Attribute)
            and node.attr in ("environ", "getenv", "environb")
            and _named(node.value, "os")
        ):
            yield f"{path}:{node.lineno} reads the environment"
    yield from (f"{path} reads the environment" for name in imported(path, tree) if name in ("os.environ", "os.getenv"))


def too_long(path: str, tree: ast.AST, text: str) -> Iterator[str]:
    if text.count("\n") > LONGEST_MODULE_LINES:
        yield f"{path} has {text.count(chr(10))} lines"
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            length = (node.end_lineno or node.lineno) - node.lineno + 1
            if length > LONGEST_FUNCTION_LINES:
                yield f"{path}:{node.lineno} {node.name} has {length} lines"


def _named(node: ast.AST, name: str) -> bool:
    return isinstance(node, ast.Name) and node.id == name


RULES: dict[str, Callable[[str, ast.AST], Iterator[str]]] = {
    "climbs": climbs,
    "climbs in the database": climbs_in_the_database,
    "meddling parts": meddling_parts,
    "breached fences": breached_fences,
    "loud": loud,
    "nosy": nosy,
}


def breaches(rule: str, files: Files) -> list[str]:
    if rule == "too long":
        return [said for path, text in files.items() for said in too_long(path, ast.parse(text), text)]
    return [said for path, text in files.items() for said in RULES[rule](path, ast.parse(text))]


@pytest.mark.parametrize("rule", [*RULES, "too long"])
def test_no_file_breaks_the_law_of_the_house(rule: str) -> None:
    assert breaches(rule, sources()) == []


@pytest.mark.parametrize(
    ("rule", "path", "text"),
    [
        ("climbs", "errors.py", "from supapy.settings import load"),
        ("climbs", "store/local.py", "import supapy.catalog"),
        ("climbs", "store/local.py", "from supapy import catalog"),
        ("climbs", "store/local.py", "from ..catalog import Catalog"),
        ("climbs", "store/local.py", "from ..project.http import Http"),
        ("climbs", "project/http.py", "def late():\n    from supapy.store.base import Store"),
        ("climbs", "retry.py", "from supapy.stream import lines"),
        ("climbs", "draft.py", "from supapy.back_up import back_up"),
        ("climbs", "sandbox/server.py", "from supapy.cli.main import main"),
        ("climbs", "attic.py", "import os"),
        ("climbs in the database", "parts/database/rules/facts.py", "import supapy.parts.database.script.script"),
        ("climbs in the database", "parts/database/load/load.py", "from supapy.parts.database.chosen import picking"),
        ("climbs in the database", "parts/database/sql/archive.py", "from supapy.parts.database import part"),
        ("meddling parts", "parts/auth/part.py", "from supapy.parts.storage import StoragePart"),
        ("meddling parts", "parts/storage/load.py", "from supapy.parts import auth"),
        ("meddling parts", "parts/auth/part.py", "from supapy.backup import Backup"),
        ("breached fences", "parts/auth/part.py", "import psycopg.sql"),
        ("breached fences", "project/storage_api.py", "from aiohttp import ClientSession"),
        ("breached fences", "doctor.py", "import rich"),
        ("breached fences", "cli/main.py", "import dotenv"),
        ("breached fences", "project/http.py", "import dotenv"),
        ("loud", "doctor.py", "print('well')"),
        ("loud", "doctor.py", "import sys\nsys.stdout.write('well')"),
        ("nosy", "project/http.py", "import os\nos.environ['HTTP_PROXY']"),
        ("nosy", "cli/main.py", "import os\nos.getenv('CI')"),
        ("nosy", "cli/main.py", "from os import environ"),
        ("too long", "names.py", "\n" * 400),
        ("too long", "names.py", "def long():\n" + "    pass\n" * 49),
    ],
)
def test_a_planted_breach_is_found(rule: str, path: str, text: str) -> None:
    assert breaches(rule, {path: text})


@pytest.mark.parametrize(
    ("rule", "path", "text"),
    [
        ("climbs", "store/local.py", "from supapy.errors import NotFound\nfrom supapy.store.base import checked"),
        ("climbs in the database", "parts/database/part.py", "from supapy.parts.database.chosen import load"),
        ("climbs in the database", "parts/database/load/load.py", "from supapy.parts.database.load import rows"),
        ("climbs in the database", "parts/database/rows/tables.py", "from supapy.parts.database.sql import archive"),
        ("meddling parts", "parts/storage/load.py", "from supapy.parts.storage.files import BUCKETS"),
        ("meddling parts", "parts/auth/part.py", "from supapy.parts.base import Source"),
        ("breached fences", "parts/database/rows/tables.py", "import psycopg"),
        ("loud", "cli/main.py", "print('well')"),
        ("nosy", "settings.py", "import os\nos.environ"),
        ("too long", "names.py", "def long():\n" + "    pass\n" * 48),
    ],
)
def test_what_is_allowed_is_no_breach(rule: str, path: str, text: str) -> None:
    assert breaches(rule, {path: text}) == []
