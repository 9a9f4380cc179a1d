"""The user's code that a name reaches: functions, classes and constants, through helpers of helpers.

Read from the source, never run. A piece is one top-level binding of a module; it reaches every module-level name that
it mentions, across imports. What is compared is the syntax tree without docstrings, so comments, blank lines, quotes
and moved lines change nothing. Where the text does not tell (a module that is handed on whole, a star import, a
statement that binds nothing), more is reached rather than less.

The idea of a key made of the code's own tree is Apache Hamilton's, which leaves helpers out.
"""

from __future__ import annotations

import ast
import hashlib
import symtable
import sys
import sysconfig
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache, cached_property
from importlib import invalidate_caches
from importlib.machinery import ModuleSpec, PathFinder
from importlib.metadata import PackageNotFoundError, packages_distributions, version
from pathlib import Path

WHOLE = "*"  # every piece of a module
LOOSE = ""  # statements that bind nothing: they may change what the others mean
PACKAGE = "package "  # before the name of one
SHORT = 16  # hexadecimal digits of a piece's digest

Piece = tuple[str, str]  # module, symbol


def reached(names: Iterable[str]) -> dict[str, str]:
    """Digest of each piece of the user's code by ``module:symbol``, and the version of each package it imports.

    ``names`` are ``module:function``. A name that is not there reaches nothing: it is refused when it is called.
    """
    invalidate_caches()
    walk = _Walk()
    for name in names:
        module, _, symbol = name.partition(":")
        walk.reach(module, symbol.partition(".")[0])
    return dict(sorted(walk.found.items()))


@dataclass
class _Walk:
    """From piece to piece, each once."""

    found: dict[str, str] = field(default_factory=dict)
    _modules: dict[str, _Module | None] = field(default_factory=dict)
    _seen: set[Piece] = field(default_factory=set)

    def reach(self, module: str, symbol: str) -> None:
        """Add this piece and all that it reaches."""
        waiting = [(module, symbol)]
        while waiting:
            piece = waiting.pop()
            if piece not in self._seen:
                self._seen.add(piece)
                waiting.extend(self._next(*piece))

    def _next(self, name: str, symbol: str) -> Iterator[Piece]:
        module = self._module(name)
        if module is None:
            return
        if symbol == WHOLE:
            yield from ((name, one) for one in module.pieces)
            return
        if symbol not in module.pieces:
            if self._module(f"{name}.{symbol}") is not None:
                yield f"{name}.{symbol}", WHOLE
            for star in module.stars:
                yield star, symbol
            return
        if symbol != LOOSE:
            yield name, LOOSE
        if symbol in module.imports:
            yield module.imports[symbol]
        statements = [one for one in module.pieces[symbol] if not isinstance(one, (ast.Import, ast.ImportFrom))]
        text = "\n".join(_normal(one) for one in statements)
        if text:
            self.found[f"{name}:{symbol}" if symbol else name] = hashlib.sha256(text.encode()).hexdigest()[:SHORT]
        for one in statements:
            yield from self._mentions(module, one)

    def _mentions(self, module: _Module, statement: ast.stmt) -> Iterator[Piece]:
        """What a statement mentions of its own module and, by its imports, of others."""
        local: dict[str, Piece] = {}
        for node in ast.walk(statement):
            if isinstance(node, (ast.Import, ast.ImportFrom)):
                local |= _imports(node, module)
        names = _globals(statement)
        for node in _chains(statement):
            base, rest = _dotted(node)
            if base in local:
                yield from self._imported(*local[base], rest)
            elif base in names and base in module.imports:
                yield from self._imported(*module.imports[base], rest)
            elif base in names:
                yield module.name, base

    def _imported(self, name: str, symbol: str, rest: tuple[str, ...]) -> Iterator[Piece]:
        """Follow ``import a.b as c; c.d.e`` as far as there are modules, then to the piece."""
        path = [*([] if symbol == WHOLE else [symbol]), *rest]
        while path and self._module(f"{name}.{path[0]}") is not None:
            name, path = f"{name}.{path[0]}", path[1:]
        yield name, path[0] if path else WHOLE

    def _module(self, name: str) -> _Module | None:
        """A module of the user's own; the version of anybody else's package is noted instead."""
        if name not in self._modules:
            self._modules[name] = self._read(name)
        return self._modules[name]

    def _read(self, name: str) -> _Module | None:
        top = name.partition(".")[0]
        spec = _spec(name)
        origin = spec.origin if spec else None
        if spec is None or (origin and _installed(Path(origin))) or top == "rivals":
            if spec is not None and (known := _version(top)):
                self.found[PACKAGE + top] = known
            return None
        if origin is None or not origin.endswith(".py"):
            if origin and Path(origin).is_file():  # compiled by the user: by its bytes
                self.found[name] = hashlib.sha256(Path(origin).read_bytes()).hexdigest()[:SHORT]
            return _Module(name, ast.Module([], []), package=True) if spec.submodule_search_locations else None
        tree = ast.parse(Path(origin).read_bytes())
        return _Module(name, tree, package=bool(spec.submodule_search_locations))


@dataclass
class _Module:
    """A module's text, piece by piece."""

    name: str
    tree: ast.Module
    package: bool

    @cached_property
    def pieces(self) -> Mapping[str, list[ast.stmt]]:
        """Top-level statements by the names that they bind; ``LOOSE`` holds those that bind none."""
        found: dict[str, list[ast.stmt]] = defaultdict(list, {LOOSE: []})
        for statement in _without_docstring(self.tree.body):
            if _never_matters(statement):
                continue
            names = set(_bound(statement)) or _changed(statement) - set(self.imports)
            for name in names or {LOOSE}:
                found[name].append(statement)
        return dict(found)

    @cached_property
    def imports(self) -> dict[str, Piece]:
        """What the names of imports stand for."""
        found: dict[str, Piece] = {}
        for statement in self.tree.body:
            for node in ast.walk(statement) if isinstance(statement, (ast.Try, ast.If)) else [statement]:
                if isinstance(node, (ast.Import, ast.ImportFrom)):
                    found |= _imports(node, self)
        return found

    @cached_property
    def stars(self) -> list[str]:
        """Modules of which everything is imported."""
        nodes = (node for node in self.tree.body if isinstance(node, ast.ImportFrom))
        return [_from(node, self) for node in nodes if any(alias.name == "*" for alias in node.names)]


# -- reading syntax trees --------------------------------------------------------------------------------


def _imports(node: ast.Import | ast.ImportFrom, module: _Module) -> dict[str, Piece]:
    if isinstance(node, ast.ImportFrom):
        source = _from(node, module)
        return {alias.asname or alias.name: (source, alias.name) for alias in node.names if alias.name != "*"}
    found = {}
    for alias in node.names:  # "import a.b" binds a, "import a.b as c" binds c to a.b
        name = alias.name if alias.asname else alias.name.partition(".")[0]
        found[alias.asname or name] = (name, WHOLE)
    return found


def _from(node: ast.ImportFrom, module: _Module) -> str:
    """The module that a ``from`` names, also relative to its own."""
    if not node.level:
        return node.module or ""
    parts = module.name.split(".")
    base = parts[: len(parts) - node.level + module.package]
    return ".".join([*base, *([node.module] if node.module else [])])


def _bound(statement: ast.stmt) -> Iterator[str]:
    """The module-level names that a top-level statement binds."""
    table = symtable.symtable(ast.unparse(statement), "piece", "exec")
    for symbol in table.get_symbols():
        if symbol.is_assigned() or symbol.is_imported():
            yield symbol.get_name()


def _changed(statement: ast.stmt) -> set[str]:
    """The one name whose value a statement plainly changes: ``table[key] = ...``, ``names.append(...)``."""
    match statement:
        case ast.Assign(targets=[ast.Subscript() | ast.Attribute() as target]):
            pass
        case ast.AugAssign(target=ast.Subscript() | ast.Attribute() as target):
            pass
        case ast.Expr(value=ast.Call(func=ast.Attribute() as target)):
            pass
        case _:
            return set()
    node: ast.expr = target
    while isinstance(node, (ast.Subscript, ast.Attribute)):
        node = node.value
    return {node.id} if isinstance(node, ast.Name) else set()


def _globals(statement: ast.stmt) -> set[str]:
    """The module-level names that a statement mentions, its own locals left out."""

    def of(table: symtable.SymbolTable) -> Iterator[str]:
        for symbol in table.get_symbols():
            if table.get_type() == "module" or symbol.is_global():
                yield symbol.get_name()
        for child in table.get_children():
            yield from of(child)

    return set(of(symtable.symtable(ast.unparse(statement), "piece", "exec")))


def _chains(statement: ast.stmt) -> Iterator[ast.expr]:
    """The outermost names and dotted names."""
    waiting: list[ast.AST] = [statement]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.Name) or (isinstance(node, ast.Attribute) and _dotted(node)[0]):
            yield node
        else:
            waiting.extend(ast.iter_child_nodes(node))


def _dotted(node: ast.expr) -> tuple[str, tuple[str, ...]]:
    rest: list[str] = []
    while isinstance(node, ast.Attribute):
        rest.append(node.attr)
        node = node.value
    return (node.id if isinstance(node, ast.Name) else "", tuple(reversed(rest)))


def _never_matters(statement: ast.stmt) -> bool:
    """``if __name__ == "__main__"`` and ``if TYPE_CHECKING``: neither runs where a model is fitted."""
    return isinstance(statement, ast.If) and any(
        isinstance(node, (ast.Name, ast.Attribute))
        and ast.unparse(node).split(".")[-1] in {"__name__", "TYPE_CHECKING"}
        for node in ast.walk(statement.test)
    )


def _normal(statement: ast.stmt) -> str:
    """The statement as text that only its meaning changes."""
    tree = ast.parse(ast.unparse(statement))
    for node in ast.walk(tree):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            node.body = _without_docstring(node.body) or [ast.Pass()]
    return ast.dump(tree)


def _without_docstring(body: list[ast.stmt]) -> list[ast.stmt]:
    first = body[0] if body else None
    said = isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and isinstance(first.value.value, str)
    return body[1:] if said else body


# -- finding modules without importing them ----------------------------------------------------------------


def _spec(name: str) -> ModuleSpec | None:
    path, found = None, None
    parts = name.split(".")
    for count in range(1, len(parts) + 1):
        found = PathFinder.find_spec(".".join(parts[:count]), path)
        if found is None:
            return None
        path = list(found.submodule_search_locations or ()) or None
        if path is None and count < len(parts):
            return None
    return found


def _installed(origin: Path) -> bool:
    """Part of Python or of an installed package: as fixed as its version."""
    roots = [Path(sysconfig.get_path(name)) for name in ("stdlib", "platstdlib", "purelib", "platlib")]
    return {"site-packages", "dist-packages"} & set(origin.parts) != set() or any(map(origin.is_relative_to, roots))


@cache
def _version(top: str) -> str:
    """Version of the package that brings this module; none for Python's own."""
    if top in sys.stdlib_module_names:
        return ""
    try:
        return version(top)
    except PackageNotFoundError:
        named = packages_distributions().get(top, ())
        return version(named[0]) if named else ""
