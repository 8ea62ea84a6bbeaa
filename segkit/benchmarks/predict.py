"""Prediction speed: the network alone, and a folder of pictures to a folder of PNGs, each beside the plain way.

Plain is the same network in fp32 as torch runs it (eager, NCHW), and one picture after the other. Beside the network
alone may stand other programs that compute it (``peers``).
"""

import copy
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from functools import partial
from itertools import cycle, islice
from pathlib import Path
from statistics import median
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from segkit.benchmarks.bare import build_network
from segkit.benchmarks.datasets import labelled_pictures
from segkit.benchmarks.exported import exported_tables
from segkit.benchmarks.loader import memory
from segkit.benchmarks.peers import Network, peers
from segkit.benchmarks.table import Table, file_name, named, network_name
from segkit.benchmarks.timing import matrix_peak, median_step_ms, peak_text
from segkit.config.check import nested_targets
from segkit.config.overrides import as_list
from segkit.data.images import decode_image, resize_image
from segkit.data.overlay import Painter
from segkit.data.picture_input import PictureInput
from segkit.data.records import SegmentationClass
from segkit.distributed.cores import cores
from segkit.distributed.devices import one_gpu, prediction_precision
from segkit.models.full_size import logits_at_size, to_confidence
from segkit.models.trained import describe, load_network, read_checkpoint
from segkit.predict.predictor import Predictor
from segkit.predict.video import PaintedVideo, paint_frames
from segkit.predict.video_read import VideoFile
from segkit.predict.video_write import VideoWriter
from segkit.predict.writers import paint_pictures, writers_of
from segkit.runs.find import find_checkpoint, home_of, is_exported
from segkit.runs.folder import gpu_name
from segkit.speed.inference import InferenceNetwork

CASES = {"cuda": [[160, 576, 1], [160, 576, 64], [384, 1248, 1]], "cpu": [[160, 576, 1], [384, 1248, 1]]}

ROUNDS = 5
"""In each both programs are measured, so that a machine that is slow for a while is slow for both."""
STEPS = {"cuda": 50, "cpu": 3}
"""Calls of a network in a round, after a third as many that do not count."""

RATE = 25.0
"""Frames a second of the video."""

CLASSES = (SegmentationClass("background", None, background=True), SegmentationClass("road", (0, 255, 0)))


def run(settings: dict[str, Any], folder: Path) -> list[Table]:
    """Two tables: of the network, a row for each case and program, and of the files. An exported file has its own.

    Raises:
        UserError: a GPU, a data set, a checkpoint or a peer that is not there.
    """
    gpu = one_gpu(settings["gpus"], "gpus")
    precision = prediction_precision(settings["precision"], gpu)
    device = torch.device("cpu" if gpu is None else f"cuda:{gpu}")
    cases = settings["cases"] or CASES[device.type]
    path = None if settings["checkpoint"] is None else find_checkpoint(settings["checkpoint"], "checkpoint")
    if path is not None and is_exported(path):
        pictures = [record.image for record in labelled_pictures(settings, folder / "scratch")]
        return exported_tables(path, cases, pictures, folder / "scratch" / "painted", gpu)
    if path is None:
        checkpoint, run_folder = random_checkpoint(settings, cases[0][:2]), None
        trust = [str(part["_target_"]) for _, part in nested_targets("model", settings["model"])]  # typed by the user
    else:
        checkpoint, run_folder = read_checkpoint(path, "checkpoint"), home_of(path)
        trust = as_list(settings["trust"])
    plain = load_network(checkpoint, trust, run_folder).to(device, memory_format=torch.contiguous_format)  # type: ignore[call-overload]
    scratch = folder / "scratch"
    paths = [record.image for record in labelled_pictures(settings, scratch)]
    name, model = gpu_name([] if gpu is None else [gpu]), checkpoint["segkit"]["model"]
    about = f"{name or 'CPU'}, {cores()} cores; {network_name(model)}; segkit in {precision}, plain: eager, fp32, NCHW"
    told = "segkit_to_it: how many times as fast segkit is"
    dtype = torch.bfloat16 if precision == "bf16" else torch.float32
    peak = matrix_peak(device, dtype)
    rows = []
    for case in cases:
        batches = list(_batches(paths, case, device))
        scratch.mkdir(parents=True, exist_ok=True)
        programs = {
            "segkit": InferenceNetwork(copy.deepcopy(plain), device, precision == "bf16"),
            "plain": plain,
            **peers(settings["peers"], plain, batches[0], precision == "bf16", scratch),
        }
        others = {name: program for name, program in programs.items() if program is not plain}
        # Random weights make masks that say nothing.
        differing = {} if settings["checkpoint"] is None else shares_differing(others, plain, batches)
        rows += _compared(case, _milliseconds(programs, batches[0]), forward_tflop(plain, case), peak, differing)
    network = Table(
        file_name(named("predict", model), precision, "nhwc", name),
        "Prediction: the network alone, pictures on its device",
        rows,
        [about, told, peak_text(peak, device, dtype)],
    )
    predictor = Predictor(checkpoint, gpu, precision, trust=trust, run=run_folder)
    height, width = decode_image(paths[0]).shape[:2]
    files = Table(
        file_name(named("predict-files", model), precision, "nhwc", name),
        f"Prediction: {len(paths)} picture files to overlays, masks and confidence maps, and a video of them to one",
        _from_files(predictor, plain, paths, scratch),
        [
            f"{about}; pictures of {height}×{width}, shown to it at {cases[0][0]}×{cases[0][1]}",
            "reading_s, network_s, writing_s: how long each was busy beside the others",
            "mib_at_a_tenth, mib_at_the_end: memory that is resident once so many are painted",
        ],
    )
    return [network, files]


def shares_differing(programs: Mapping[str, Network], plain: Network, batches: Sequence[Tensor]) -> dict[str, float]:
    """Percent of all pixels to which each program gives another class than the plain network does."""
    shares: dict[str, list[Tensor]] = {name: [] for name in programs}
    with torch.inference_mode():
        for images in batches:
            expected = plain(images).max(1).indices
            for name, program in programs.items():
                shares[name].append((program(images).max(1).indices != expected).float().mean())
    return {name: 100 * float(torch.stack(of_batches).mean()) for name, of_batches in shares.items()}


def forward_tflop(network: nn.Module, case: Sequence[int]) -> float:
    """TFLOP of one call of the network for a case (height, width, batch)."""
    height, width, batch = case
    # On the meta device nothing is computed.
    with torch.inference_mode(), FlopCounterMode(display=False) as counter:
        copy.deepcopy(network).to("meta")(torch.empty(batch, 3, height, width, dtype=torch.uint8, device="meta"))
    return counter.get_total_flops() * 1e-12


def random_checkpoint(settings: dict[str, Any], image_shape: list[int]) -> dict[str, Any]:
    """One of random weights and pictures of the given (height, width)."""
    torch.manual_seed(settings["seed"])
    state = build_network(settings["model"]).state_dict()
    about = describe(settings["model"], CLASSES, PictureInput.of(image_shape))
    return {"state_dict": {f"network.{name}": value for name, value in state.items()}, "segkit": about}


def _batches(paths: Sequence[Path], case: Sequence[int], device: torch.device) -> Iterator[Tensor]:
    """All pictures in batches of a case, uint8 (B, 3, H, W) on the device; the first fill up the last batch."""
    height, width, batch = case
    for start in range(0, len(paths), batch):
        chosen = islice(cycle(paths), start, start + batch)
        pictures = np.stack([resize_image(decode_image(path), (height, width)) for path in chosen])
        yield torch.from_numpy(pictures).to(device).permute(0, 3, 1, 2)


def _milliseconds(programs: Mapping[str, Network], images: Tensor) -> dict[str, list[float]]:
    """Of a call of each program, in each round."""
    steps = STEPS[images.device.type]
    result: dict[str, list[float]] = {name: [] for name in programs}
    with torch.inference_mode():
        for _ in range(ROUNDS):
            for name, program in programs.items():
                step = partial(program, images)
                result[name].append(median_step_ms(step, images.device, steps, warm_up=steps // 3))
    return result


def _compared(
    case: Sequence[int],
    milliseconds: Mapping[str, Sequence[float]],
    tflop: float,
    peak: float,
    differing: Mapping[str, float],
) -> list[dict[str, Any]]:
    """Rows of the programs in one case, from the milliseconds of their rounds; ratios are taken within a round."""
    height, width, batch = case
    rows = []
    for name, rounds in milliseconds.items():
        ms = median(rounds)
        rows.append(
            {
                "height": height,
                "width": width,
                "batch": batch,
                "network": name,
                "ms": ms,
                "images_per_second": 1000 * batch / ms,
                "tflops": 1000 * tflop / ms,
                "share_of_peak": 1000 * tflop / ms / peak,
                "ratio_to_plain": _ratio(milliseconds["plain"], rounds),
                "segkit_to_it": _ratio(rounds, milliseconds["segkit"]),
                "masks_differing_percent": differing.get(name),
            }
        )
    return rows


def _ratio(slow: Sequence[float], fast: Sequence[float]) -> float:
    """How many times as fast one program is as another, of the milliseconds of the same rounds."""
    return median(one / other for one, other in zip(slow, fast, strict=True))


def _from_files(predictor: Predictor, plain: Network, paths: Sequence[Path], scratch: Path) -> list[dict[str, Any]]:
    """Rows of ``paint_pictures``, of ``paint_frames``, and of a plain program: what the first does, one by one."""
    predictor.probabilities(decode_image(paths[0]))  # the first picture's costs are not those of many
    clip, painted = _clip(paths, scratch / "clip.webm"), scratch / "painted.webm"
    pictures, frames = Memory(len(paths)), Memory(len(paths))
    of_pictures = paint_pictures(predictor, paths, scratch / "painted", writers_of(), pictures.note).seconds
    video = PaintedVideo(VideoWriter(painted, RATE), lambda prediction: prediction.painted)
    of_frames = paint_frames(predictor, VideoFile(clip), scratch, [], [video], on_done=frames.note).seconds
    begun = time.perf_counter()
    _paint_plainly(plain, predictor, paths, scratch / "plain")
    wall = time.perf_counter() - begun
    rows = [
        {
            "program": program,
            "reading_s": seconds.reading,
            "network_s": seconds.network,
            "writing_s": seconds.writing,
            "slowest": seconds.slowest,
            "wall_s": seconds.wall,
            "images_per_second": len(paths) / seconds.wall,
            "ratio_to_plain": ratio,
            "mib_at_a_tenth": held.at_a_tenth,
            "mib_at_the_end": held.at_the_end,
        }
        for program, seconds, ratio, held in (
            ("segkit", of_pictures, wall / of_pictures.wall, pictures),
            ("segkit, a video", of_frames, None, frames),
        )
    ]
    figures = {"program": "plain", "wall_s": wall, "images_per_second": len(paths) / wall, "ratio_to_plain": 1.0}
    return [*rows, dict.fromkeys(rows[0]) | figures]


class Memory:
    """Of this process, in MiB, when a tenth of ``count`` items are done and when all are; None where nothing tells."""

    def __init__(self, count: int) -> None:
        self.count, self.done = count, 0
        self.at_a_tenth: float | None = None
        self.at_the_end: float | None = None

    def note(self, item: object) -> None:
        """One more is done."""
        self.done += 1
        with suppress(OSError):  # Linux alone has /proc
            if self.done == max(1, self.count // 10):
                self.at_a_tenth = memory("self")["Rss"]
            if self.done == self.count:
                self.at_the_end = memory("self")["Rss"]


def _clip(paths: Sequence[Path], path: Path) -> Path:
    """A video of pictures, each at the size of the first."""
    writer = VideoWriter(path, RATE)
    for number, picture in enumerate(paths):
        writer.add(decode_image(picture), number / RATE)
    writer.close()
    return path


@torch.inference_mode()
def _paint_plainly(network: Network, predictor: Predictor, paths: Sequence[Path], folder: Path) -> None:
    for kind in ("overlay", "mask", "confidence"):
        (folder / kind).mkdir(parents=True)
    device, painter = predictor.device, Painter(predictor.class_list)
    for path in paths:
        picture = decode_image(path)
        height, width = picture.shape[:2]
        resized = torch.from_numpy(resize_image(picture, predictor.picture_input.image_shape)).permute(2, 0, 1)
        probabilities = logits_at_size(network(resized[None].to(device))[0], (height, width)).softmax(0)
        classes = probabilities.argmax(0).byte().cpu().numpy()
        painted = painter.with_legend(painter.paint(picture, classes), painter.areas(classes))
        cv2.imwrite(str(folder / "overlay" / f"{path.stem}.png"), painted[..., ::-1])
        cv2.imwrite(str(folder / "mask" / f"{path.stem}.png"), classes)
        cv2.imwrite(str(folder / "confidence" / f"{path.stem}.png"), to_confidence(probabilities[1]).cpu().numpy())
