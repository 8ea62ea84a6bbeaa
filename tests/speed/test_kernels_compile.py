"""The kernels compile for a GPU: Triton's interpreter, which the other tests use, takes more than its compiler does."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def test_all_kernels_compile(tmp_path) -> None:
    pytest.importorskip("triton", reason="Triton comes with torch's CUDA builds alone")
    environment = {**os.environ, "TRITON_INTERPRET": "0", "TRITON_CACHE_DIR": str(tmp_path), "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "tests.speed.compiled"]
    run = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr[-2000:]
    written = set()
    for module in (ROOT / "segkit" / "speed").glob("triton_*.py"):
        written |= set(re.findall(r"^def (_\w+)\([^)]*tl\.constexpr", module.read_text(), re.MULTILINE | re.DOTALL))
    launched = {name for name in written if name not in ("_store_sums", "_add_up", "_patches")}  # parts of others
    assert set(run.stdout.split()) == launched
