"""Tables in the README of the benchmarks' folder."""

from pathlib import Path

from segkit.benchmarks.readme import put
from segkit.benchmarks.table import Table


def test_a_table_takes_the_place_of_the_one_of_its_name_and_nothing_else_changes(tmp_path: Path) -> None:
    readme = tmp_path / "README.md"
    readme.write_text("# Mine\n")
    first = Table("a-cpu", "A", [{"step_ms": 1.23456, "note": None}], ["two cores"])
    second = Table("b-cpu", "B", [{"step_ms": 2}], [])
    put(first, tmp_path)
    put(second, tmp_path)
    readme.write_text(readme.read_text() + "\nwritten below\n")
    put(Table("a-cpu", "A", [{"step_ms": 4.0, "note": "x|y"}], []), tmp_path)
    assert readme.read_text() == (
        "# Mine\n\n<!-- a-cpu -->\n**A** (`a-cpu.csv`)\n\n| step_ms | note |\n|---|---|\n| 4.0 | x\\|y |\n\n"
        "<!-- end of a-cpu -->\n\n<!-- b-cpu -->\n**B** (`b-cpu.csv`)\n\n| step_ms |\n|---|\n| 2 |\n\n"
        "<!-- end of b-cpu -->\n\nwritten below\n"
    )


def test_a_new_folder_gets_a_readme(tmp_path: Path) -> None:
    put(Table("a-cpu", "A", [{"step_ms": 1.23456}], ["two cores"]), tmp_path)
    text = (tmp_path / "README.md").read_text()
    assert "| 1.235 |" in text
    assert "- two cores\n" in text
