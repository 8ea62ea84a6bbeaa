"""Random inputs, always the same ones; ``make fuzz minutes=30`` tries others."""

from pathlib import Path

from tests.processes import python


def test_random_inputs_end_in_an_answer_or_a_sentence() -> None:
    program = "from tests.hostile.fuzz import main; main()"
    done = python(program, "examples=30", cwd=Path(__file__).parents[2])
    assert done.returncode == 0, done.stderr[-4000:]
