"""Whether a ``.pt2`` file of torch.export is nothing but a graph and numbers, found out before torch reads it.

torch's own reader unpickles what such a file has pickled, evaluates its formulas as Python, and calls any function of
torch by its name.
"""

import io
import json
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from segkit.errors import UserError

FILES = re.compile(
    r"[^/]+/(archive_format|archive_version|byteorder|\.data/(version|serialization_id)|models/model\.json|extra/[\w.]+|"
    r"data/weights/(weight_\d+|model_weights_config\.json)|data/constants/(tensor_\d+|model_constants_config\.json)|"
    r"data/sample_inputs/model\.pt)"
)
"""What ``segkit export`` puts into the archive. Compiled code and objects of other kinds have other names."""

CALLED = re.compile(
    r"torch\.ops\.aten\.\w+\.\w+|torch\.sym_\w+|_operator\.(add|sub|mul|mod|floordiv|truediv|neg|getitem)"
)

FORMULA = re.compile(r"[\w\s(),='+*/.-]*")
WORDS = re.compile(
    r"Integer|Float|Rational|Symbol|Add|Mul|Pow|Max|Min|Mod|FloorDiv|CleanDiv|IntTrueDiv|FloatTrueDiv|PythonMod|ToFloat|"
    r"CeilToInt|FloorToInt|positive|integer|nonnegative|True|False|precision|[su]?\d+"
)


def check_program(path: Path) -> None:
    """Look at a file without reading anything into torch.

    Raises:
        UserError: it holds something else than a graph and numbers.
    """
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
        if len(set(names)) < len(names):
            raise UserError("holds two files of one name; it is not read")
        for name in names:
            if not FILES.fullmatch(name):
                raise UserError(f"holds {name}, which segkit export does not write; it is not read")
            if name.endswith("/data/sample_inputs/model.pt") and archive.getinfo(name).file_size:
                _check_sample(archive.read(name))
        for name in (name for name in names if name.endswith("_config.json")):
            if any(entry.get("use_pickle") for entry in json.loads(archive.read(name))["config"].values()):
                raise UserError("holds pickled objects, which could run code; it is not read")
        model = next(name for name in names if name.endswith("/models/model.json"))
        for key, value in _entries(json.loads(archive.read(model))):
            if key == "target" and isinstance(value, str) and not CALLED.fullmatch(value):
                raise UserError(f"calls {value}, which is no operator of a network; it is not read")
            if (key == "expr_str" and not _is_formula(value)) or (key == "guards_code" and value):
                raise UserError("holds Python where a formula is due; it is not read")


def _check_sample(content: bytes) -> None:
    torch.load(io.BytesIO(content), weights_only=True)  # raises; torch.export would go on and unpickle anything


def _is_formula(text: Any) -> bool:
    if not isinstance(text, str) or not FORMULA.fullmatch(text):
        return False
    return all(WORDS.fullmatch(word) for word in re.findall(r"\w+", text))


def _entries(value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict):
        for key, below in value.items():
            yield key, below
            yield from _entries(below)
    elif isinstance(value, list):
        for below in value:
            yield from _entries(below)
