"""Prediction speed of an exported file: alone, and from a folder of pictures to a folder of PNGs.

What it is worth beside the network in PyTorch, ``segkit export`` has measured when it was made.
"""

from collections.abc import Sequence
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import numpy as np

from segkit.benchmarks.table import Table, file_name
from segkit.benchmarks.timing import median_step_ms
from segkit.data.images import decode_image, resize_image
from segkit.distributed.cores import cores
from segkit.predict.exported import Exported
from segkit.predict.writers import paint_pictures, writers_of
from segkit.runs.folder import gpu_name

STEPS = 10
"""Calls in a case, after three that do not count."""


def exported_tables(
    path: Path, cases: Sequence[Sequence[int]], pictures: Sequence[Path], scratch: Path, gpu: int | None
) -> list[Table]:
    """Two tables: of the file alone, a row for each case, and of picture files.

    Args:
        path: of the exported file.
        cases: [height, width, batch] of the pictures that it is given; it resizes them itself.
        pictures: what it is shown.
        scratch: where the painted pictures go.
        gpu: device number, or None for the CPU.

    Raises:
        UserError: a damaged or foreign file, or the package that computes it is missing.
    """
    network = Exported(path, "checkpoint", gpu)
    name = gpu_name([] if gpu is None else [gpu])
    kind = f"{path.suffix[1:]}-{network.precision}"
    about = (
        f"{name or 'CPU'}, {cores()} cores; {path.name}, {network.precision}, its network at {network.trained_input}"
    )
    rows: list[dict[str, Any]] = []
    for height, width, batch in cases:
        chosen = islice(cycle(pictures), batch)
        images = np.stack([resize_image(decode_image(one), (height, width)) for one in chosen]).transpose(0, 3, 1, 2)
        images = np.ascontiguousarray(images)
        ms = median_step_ms(lambda: network.compute(images), network.device, STEPS, warm_up=3)  # noqa: B023 - called at once
        rows.append(
            {"height": height, "width": width, "batch": batch, "ms": ms, "images_per_second": 1000 * batch / ms}
        )
    network.predict(decode_image(pictures[0]))  # the first picture's costs are not those of many
    seconds = paint_pictures(network, pictures, scratch, writers_of()).seconds
    files = {
        "reading_s": seconds.reading,
        "network_s": seconds.network,
        "writing_s": seconds.writing,
        "slowest": seconds.slowest,
        "wall_s": seconds.wall,
        "images_per_second": len(pictures) / seconds.wall,
    }
    return [
        Table(
            file_name("predict-exported", kind, "nchw", name),
            "Prediction: an exported file alone, pictures in memory",
            rows,
            [about],
        ),
        Table(
            file_name("predict-exported-files", kind, "nchw", name),
            f"Prediction: {len(pictures)} picture files to overlays, masks and confidence maps by an exported file",
            [files],
            [about, "reading_s, network_s, writing_s: how long each was busy beside the others"],
        ),
    ]
