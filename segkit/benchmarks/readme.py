"""Tables in the README of the folder that benchmarks are kept in: what people write stands around them."""

from pathlib import Path

from segkit.benchmarks.table import Table, rounded
from segkit.reporting.markdown import table as as_markdown
from segkit.runs.files import write_whole


def put(table: Table, into: Path) -> None:
    """Put a table into ``into/README.md``, in the place of the one of its name, or at the end."""
    path = into / "README.md"
    text = path.read_text() if path.exists() else ""
    start, end = f"<!-- {table.name} -->\n", f"<!-- end of {table.name} -->\n"
    section = f"{start}{_section(table)}{end}"
    before, found, after = text.partition(start)
    if found:
        section += after.partition(end)[2]
    elif text:
        section = f"\n{section}"
    write_whole(path, (before + section).encode())


def _section(table: Table) -> str:
    head = list(table.rows[0])
    cells = [["" if (value := rounded(row[key])) is None else str(value) for key in head] for row in table.rows]
    remarks = "".join(f"- {remark}\n" for remark in table.remarks)
    return f"**{table.title}** (`{table.name}.csv`)\n\n{as_markdown([head, *cells])}\n\n{remarks}"
