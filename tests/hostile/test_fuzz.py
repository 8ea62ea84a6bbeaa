"""Random inputs, always the same ones; ``make fuzz minutes=30`` tries others."""

import subprocess
import sys
from pathlib import Path


def test_random_inputs_end_in_an_answer_or_a_sentence() -> None:
    command = [sys.executable, "-m", "tests.hostile.fuzz", "examples=30"]
    done = subprocess.run(command, cwd=Path(__file__).parents[2], capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr[-4000:]
