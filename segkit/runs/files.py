"""Writing files so that readers, full disks and kills never meet half of one."""

import os
from pathlib import Path


def write_whole(path: Path, content: bytes) -> None:
    """Write ``path`` in one step: a reader sees the old file or the new one, and an error leaves the old one."""
    temporary = path.with_name(f".{path.name}.part")
    try:
        temporary.write_bytes(content)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
