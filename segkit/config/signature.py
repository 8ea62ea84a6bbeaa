"""A constructor's signature, read from its source: settings are checked without importing what they are for.

Only segkit's own files and files of the user's are read so. Of other classes (torch's, compiled ones) the signature is
asked for once they are imported.
"""

import ast
import importlib
import importlib.util
import inspect
import sys
import typing
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

LIGHT = {"typing", "typing_extensions", "collections.abc", "annotated_types", "pathlib"}
"""Modules that annotations are written with, which cost nothing to import."""

PLAIN = {kind.__name__: kind for kind in (bool, int, float, str, list, dict, tuple, set, frozenset, type)}
WITHOUT_ARGUMENTS = {"object", "abc.ABC", "typing.Protocol", "typing.Generic", "torch.nn.Module"}
Definition = ast.ClassDef | ast.FunctionDef


@dataclass(frozen=True)
class Parameter:
    """``annotation`` is Any where nobody can tell without importing more."""

    annotation: Any
    required: bool


@dataclass(frozen=True)
class Signature:
    """``open``: there are arguments (``**rest``) whose names nobody tells."""

    parameters: dict[str, Parameter]
    open: bool = False


def read_signature(path: str) -> Signature | None:
    """The signature of the class or function at a dotted path; None where its source does not tell."""
    module, _, name = path.rpartition(".")
    source = _source(module)
    found = source.find(name) if source is not None else None
    if found is None:
        return None
    source, node = found
    if isinstance(node, ast.FunctionDef):
        return source.of_function(node, method=False)
    return source.of_class(node) if isinstance(node, ast.ClassDef) else None


def inspected_signature(target: Callable[..., Any]) -> Signature:
    """The signature of what is imported already; annotations that cannot be resolved are Any."""
    try:
        parameters = inspect.signature(target).parameters.values()
    except (TypeError, ValueError):  # compiled, without one
        return Signature({}, open=True)
    try:
        described = inspect.getattr_static(target, "__init__") if isinstance(target, type) else target
        hints = typing.get_type_hints(described, include_extras=True)
    except Exception:  # names that exist for type checkers alone
        hints = {}
    named = {
        each.name: Parameter(hints.get(each.name, Any), each.default is each.empty)
        for each in parameters
        if each.kind in (each.POSITIONAL_OR_KEYWORD, each.KEYWORD_ONLY)
    }
    return Signature(named, any(each.kind is each.VAR_KEYWORD for each in parameters))


class _Source:
    """A parsed module."""

    def __init__(self, name: str, file: Path) -> None:
        self.package = name if file.name == "__init__.py" else name.rpartition(".")[0]
        self.tree = ast.parse(file.read_bytes())

    @cached_property
    def names(self) -> dict[str, ast.AST | str]:
        """What stands at the top of the module: a definition, an alias's value, or the dotted path of an import."""
        found: dict[str, ast.AST | str] = {}
        for node in self.tree.body:
            if isinstance(node, ast.Import):
                for alias in node.names:
                    found[alias.asname or alias.name.partition(".")[0]] = (
                        alias.name if alias.asname else alias.name.partition(".")[0]
                    )
            elif isinstance(node, ast.ImportFrom):
                above = self.package.split(".")[: len(self.package.split(".")) - node.level + 1] if node.level else []
                module = ".".join([*above, *([node.module] if node.module else [])])
                found |= {alias.asname or alias.name: f"{module}.{alias.name}" for alias in node.names}
            elif isinstance(node, Definition):
                found[node.name] = node
            elif isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
                found[node.targets[0].id] = node.value
            elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.value is not None:
                found[node.target.id] = node.value
        return found

    def find(self, name: str) -> "tuple[_Source, ast.AST] | None":
        """What ``name`` is, with the module that defines it, through imports."""
        there = self.names.get(name)
        if not isinstance(there, str):
            return None if there is None else (self, there)
        module, _, last = there.rpartition(".")
        source = _source(module)
        return None if source is None else source.find(last)

    def dotted(self, node: ast.AST) -> str:
        """The dotted path that a name stands for; empty for anything but a name."""
        if isinstance(node, ast.Name):
            there = self.names.get(node.id, node.id)
            return there if isinstance(there, str) else ""
        if isinstance(node, ast.Attribute) and (above := self.dotted(node.value)):
            return f"{above}.{node.attr}"
        return self.dotted(node.value) if isinstance(node, ast.Subscript) else ""

    # ---- definitions ----

    def of_function(self, node: ast.FunctionDef, method: bool) -> Signature:
        positional = [*node.args.posonlyargs, *node.args.args]
        first_default = len(positional) - len(node.args.defaults)
        taken = {each.arg: (each, number < first_default) for number, each in enumerate(positional)}
        for name in [each.arg for each in node.args.posonlyargs] + [each.arg for each in positional[:1] if method]:
            taken.pop(name, None)
        taken |= {
            each.arg: (each, default is None)
            for each, default in zip(node.args.kwonlyargs, node.args.kw_defaults, strict=True)
        }
        parameters = {name: Parameter(self.annotation(each.annotation), need) for name, (each, need) in taken.items()}
        return Signature(parameters, open=node.args.kwarg is not None)

    def of_class(self, node: ast.ClassDef) -> Signature | None:
        own = next((each for each in node.body if isinstance(each, ast.FunctionDef) and each.name == "__init__"), None)
        if own is None and any(self.dotted(each).endswith("dataclass") for each in _decorators(node)):
            return self._of_dataclass(node)
        if own is None:
            return self._above(node)
        signature = self.of_function(own, method=True)
        if own.args.kwarg is None:
            return signature
        handed_on = next(_super_calls(own, own.args.kwarg.arg), None)
        above = self._above(node) if handed_on is not None else None
        if handed_on is None or above is None:
            return signature
        positional = [each for each in handed_on.args if not isinstance(each, ast.Starred)]
        given = [*list(above.parameters)[: len(positional)], *(word.arg for word in handed_on.keywords)]
        rest = {name: each for name, each in above.parameters.items() if name not in given}
        return Signature(rest | signature.parameters, above.open)

    def _above(self, node: ast.ClassDef) -> Signature | None:
        """The constructor that a class inherits."""
        for base in node.bases:
            if self.dotted(base) in WITHOUT_ARGUMENTS:
                continue
            name = self.dotted(base)
            found = self.find(base.id) if isinstance(base, ast.Name) else None
            if found is None and "." in name and (source := _source(name.rpartition(".")[0])) is not None:
                found = source.find(name.rpartition(".")[2])
            return found[0].of_class(found[1]) if found is not None and isinstance(found[1], ast.ClassDef) else None
        return Signature({})

    def _of_dataclass(self, node: ast.ClassDef) -> Signature | None:
        above = self._above(node)
        if above is None:
            return None
        own = {}
        for each in node.body:
            if not (isinstance(each, ast.AnnAssign) and isinstance(each.target, ast.Name)):
                continue
            words = each.value.keywords if isinstance(each.value, ast.Call) else []
            left_out = any(word.arg == "init" and ast.unparse(word.value) == "False" for word in words)
            if not left_out and not self.dotted(each.annotation).endswith(("ClassVar", "KW_ONLY")):
                own[each.target.id] = Parameter(self.annotation(each.annotation), each.value is None)
        return replace(above, parameters=above.parameters | own)

    # ---- annotations ----

    def annotation(self, node: ast.AST | None) -> Any:
        """The type that an annotation means; Any for what cannot be told."""
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            return self.annotation(ast.parse(node.value, mode="eval").body)
        if isinstance(node, ast.Constant):
            return node.value  # None, and the … of tuple[int, …]
        if isinstance(node, ast.BinOp):
            return typing.Union[self.annotation(node.left), self.annotation(node.right)]  # noqa: UP007 - values, not names
        if isinstance(node, ast.Subscript):
            return self._subscripted(self.annotation(node.value), node.slice)
        if isinstance(node, ast.Name) and node.id not in self.names:
            return PLAIN.get(node.id, Any)
        module, _, last = self.dotted(node).rpartition(".") if node is not None else ("", "", "")
        if module in LIGHT:
            return getattr(importlib.import_module(module), last, Any)
        found = self.find(node.id) if isinstance(node, ast.Name) else None
        if found is None or isinstance(found[1], Definition):
            return Any
        return found[0].annotation(found[1])

    def _subscripted(self, kind: Any, inner: ast.expr) -> Any:
        items = inner.elts if isinstance(inner, ast.Tuple) else [inner]
        if kind is Any or kind is typing.Callable or getattr(kind, "__name__", "") in ("Callable", "type"):
            return kind
        try:
            if kind is typing.Literal:
                return kind[tuple(ast.literal_eval(item) for item in items)]
            types = [self.annotation(item) for item in (items[:1] if kind is typing.Annotated else items)]
            if kind is not typing.Annotated:
                return kind[tuple(types) if len(types) > 1 else types[0]]
            limits = [limit for item in items[1:] if (limit := self._limit(item)) is not None]
            return types[0] if types[0] is Any or not limits else typing.Annotated[(types[0], *limits)]
        except (TypeError, ValueError):
            return Any

    def _limit(self, node: ast.expr) -> Any:
        """What stands beside the type in Annotated, such as ``Gt(0)``; None for what cannot be told."""
        kind = self.annotation(node.func) if isinstance(node, ast.Call) else Any
        if kind is Any or not isinstance(node, ast.Call):
            return None
        words = {word.arg: ast.literal_eval(word.value) for word in node.keywords if word.arg}
        return kind(*map(ast.literal_eval, node.args), **words)


def _decorators(node: ast.ClassDef) -> Iterator[ast.AST]:
    for each in node.decorator_list:
        yield each.func if isinstance(each, ast.Call) else each


def _super_calls(node: ast.FunctionDef, rest: str) -> Iterator[ast.Call]:
    """Calls of the constructor above that hand ``**rest`` on."""
    for call in ast.walk(node):
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute) and call.func.attr == "__init__":
            handed = (word.value for word in call.keywords if word.arg is None)
            if any(isinstance(value, ast.Name) and value.id == rest for value in handed):
                yield call


def _source(module: str) -> _Source | None:
    """The parsed source of a module, nothing imported; None for what is not segkit's or the user's, or not there."""
    top, *rest = module.split(".")
    if not top or top in sys.stdlib_module_names:
        return None
    try:
        spec = importlib.util.find_spec(top)  # of a module at the top nothing is run
    except ValueError:
        return None
    if spec is None:
        return None
    file = Path(spec.origin) if spec.origin else None
    for part in rest:
        folders = [file.parent] if file is not None and file.name == "__init__.py" else []
        if file is None:  # a folder without __init__.py
            folders = [Path(place) for place in spec.submodule_search_locations or ()]
        places = [place for folder in folders for place in (folder / part / "__init__.py", folder / f"{part}.py")]
        file = next((place for place in places if place.is_file()), None)
        if file is None:
            return None
    if file is None or file.suffix != ".py" or (top != "segkit" and "site-packages" in file.parts):
        return None
    return _parsed(module, file, file.stat().st_mtime_ns)


@lru_cache(maxsize=256)
def _parsed(module: str, file: Path, changed: int) -> _Source | None:
    try:
        return _Source(module, file)
    except SyntaxError:  # told when it is imported
        return None
