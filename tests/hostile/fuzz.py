"""Random inputs of every kind that segkit reads: whatever they hold, what comes of it is an answer or a sentence.

``python -m tests.hostile.fuzz examples=60`` tries so many of each kind, always the same ones; ``minutes=30`` others
each time, as long as that. It runs in a process of its own, which a decoder may bring down.
"""

import io
import json
import random
import resource
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from copy import deepcopy
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
import yaml
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from segkit.config.compose import composed, resolved
from segkit.config.schema import TrainSettings, validate
from segkit.config.trained_schema import PredictSettings
from segkit.data.cache import entry_shape
from segkit.data.datasets.own.classes import read_description
from segkit.data.images import decode_rgb, decode_values, png_header, read_bytes
from segkit.errors import UserError
from segkit.models.trained import load_network, read_checkpoint
from segkit.predict.outputs import _written
from segkit.road.calibration import Calibration
from segkit.road.raw_calibration import read_calibration
from segkit.runs.read import checked_result, choices_of, own_folders, read_hydra, read_overrides, read_run
from tests.fixtures import CLASSES_YAML, level_camera, write_raw_calibration
from tests.hostile.ingredients import checkpoint, run_folder
from tests.hostile.limited import MEMORY, address_space
from tests.reliability import write

SECONDS = 20
"""For one input."""

HERE = Path(tempfile.mkdtemp(prefix="fuzz-"))
nowhere = io.StringIO()

# ---- inputs ----

scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.sampled_from([0, -1, 2**31, 2**32, 2**63, 10**20, 10**400])
    | st.floats()
    | st.text(max_size=20)
    | st.sampled_from(["", ".", "..", "/", "\0", "\ud800", "x" * 3000, "null", "1e300", "os.system", "${seed}"])
)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


@st.composite
def damaged(draw: st.DrawFn, goods: list[bytes]) -> bytes:
    """One of ``goods`` with bytes changed, left out, put in or repeated."""
    data = bytearray(draw(st.sampled_from(goods)))
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, max(0, min(len(data), 400) - 1)) | st.integers(0, max(0, len(data) - 1)))
        length = draw(st.integers(0, 8))
        kind = draw(st.sampled_from(["set", "cut", "insert", "repeat", "end"]))
        if kind == "set":
            data[start : start + length] = draw(st.binary(min_size=length, max_size=length))
        elif kind == "cut":
            del data[start : start + length]
        elif kind == "insert":
            data[start:start] = draw(st.binary(max_size=8))
        elif kind == "repeat":
            data[start:start] = data[start : start + 64] * draw(st.sampled_from([1, 3, 100]))
        else:
            del data[start:]
    return bytes(data)


def places(value: Any, above: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The way to every value in nested dicts and lists."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [above, *(place for key, item in items for place in places(item, (*above, key)))]


@st.composite
def altered(draw: st.DrawFn, good: Any) -> Any:
    """``good`` with one or two of its values replaced, or left out."""
    content = deepcopy(good)
    for _ in range(draw(st.integers(1, 2))):
        *above, last = draw(st.sampled_from([place for place in places(content) if place] or [()])) or [None]
        if last is None:
            return draw(values)
        inner = content
        for key in above:
            inner = inner[key]
        if isinstance(inner, dict) and draw(st.integers(0, 5)) == 0:
            del inner[last]
        else:
            inner[last] = draw(values)
    return content


def _pictures() -> list[bytes]:
    noise = np.random.default_rng(0).integers(0, 256, (9, 13, 3), np.uint8)
    found = [cv2.imencode(f".{kind}", noise)[1].tobytes() for kind in ("png", "jpg", "bmp", "tif", "webp")]
    found.append(cv2.imencode(".png", noise, (cv2.IMWRITE_PNG_FILTER, cv2.IMWRITE_PNG_FILTER_SUB))[1].tobytes())
    found += [
        cv2.imencode(".png", noise[..., 0])[1].tobytes(),
        cv2.imencode(".png", noise.astype(np.uint16))[1].tobytes(),
    ]
    from tests.hostile.ingredients import png_of

    return [*found, png_of(9, 3, (b"\0" + bytes(9)) * 3, kind=3)]


def _array() -> bytes:
    path = HERE / "good.npy"
    np.save(path, np.zeros((3, 4, 4), np.uint8))
    return path.read_bytes()


TRAIN = resolved(composed("train", []))
PREDICT = resolved(composed("predict", ["checkpoint=a", "input=b"]))
ENTRY = {key: value for key, value in checkpoint().items() if key == "segkit"}
RUN = run_folder(HERE / "run")
RESULT = json.loads((RUN / "result.json").read_text())
KEPT = {name: (RUN / ".hydra" / name).read_bytes() for name in ("config.yaml", "hydra.yaml", "overrides.yaml")}

# ---- what is done with them ----


def _file(name: str, content: bytes) -> Path:
    path = HERE / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def picture(content: bytes) -> None:
    """The readers of pictures and labels."""
    path = _file("a.png", content)
    for read in (lambda: decode_rgb(read_bytes(path), path), lambda: decode_values(read_bytes(path), path)):
        told(read)
    told(lambda: png_header(path))


def array(content: bytes) -> None:
    """The cache."""
    entry_shape(_file("a.npy", content))


def training(config: Any) -> None:
    """Settings of training."""
    told(lambda: validate(TrainSettings, config))


def predicting(config: Any) -> None:
    """Settings of prediction."""
    told(lambda: validate(PredictSettings, config))


def entry(content: Any) -> None:
    """What a checkpoint says of its network, and the network."""
    path = HERE / "a.ckpt"
    content = content | {"state_dict": checkpoint()["state_dict"]} if isinstance(content, dict) else content
    try:
        torch.save(content, path)
    except (OverflowError, RuntimeError, UnicodeEncodeError):  # no file can hold it
        return
    told(lambda: load_network(read_checkpoint(path, "checkpoint")))


def result(content: Any) -> None:
    """A run's result, as JSON."""
    try:
        _file("run/result.json", json.dumps(content).encode())
    except ValueError:
        return
    _run()


def result_bytes(content: bytes) -> None:
    """A run's result, damaged."""
    _file("run/result.json", content)
    _run()


def kept(content: tuple[str, bytes]) -> None:
    """A file of ``.hydra``, damaged."""
    _file("run/result.json", json.dumps(RESULT).encode())
    for name, good in KEPT.items():
        _file(f"run/.hydra/{name}", content[1] if name == content[0] else good)
    _run()


def kept_values(content: tuple[str, Any]) -> None:
    """A file of ``.hydra`` with other values."""
    try:
        kept((content[0], yaml.safe_dump(content[1]).encode()))
    except (UnicodeEncodeError, yaml.YAMLError):
        return


def _run() -> None:
    def read() -> None:
        run = read_run(RUN)
        print(run.progress, run.monitor, run.scores, run.best_epoch, run.reason, file=nowhere)

    for function in (checked_result, read_overrides):
        told(lambda function=function: function(RUN))
    for function in (choices_of, own_folders):
        told(lambda function=function: function(read_hydra(RUN)))
    told(read)


def calibration(content: bytes) -> None:
    """A camera's calibration."""
    told(lambda: Calibration.from_file(_file("a.txt", content)))


def recording(content: bytes) -> None:
    """The calibration of a raw recording."""
    told(lambda: read_calibration(_file("calib_cam_to_cam.txt", content), HERE / "image_02/data/0.png"))


def classes(content: bytes) -> None:
    """The file that says what masks mean."""
    told(lambda: read_description(_file("classes.yaml", content), HERE))


def manifest(content: bytes) -> None:
    """The names of the files that prediction has written."""
    _file("out/.files.json", content)
    assert all(".." not in Path(name).parts and not name.startswith("/") for name in _written(HERE / "out"))


def told(function: Callable[[], Any]) -> None:
    """What a function raises has to be a sentence."""
    with suppress(UserError):
        try:
            function()
        except OSError as error:
            if error.filename is None:
                raise


GOOD: dict[str, list[bytes]] = {
    "picture": _pictures(),
    "array": [_array()],
    "calibration": [level_camera(70, (60, 15), 1.65).text().encode()],
    "recording": [write_raw_calibration(HERE / "good.txt").read_bytes()],
    "classes": [CLASSES_YAML.encode()],
    "manifest": [b'["mask/a.png", "road.json"]'],
    "result_bytes": [json.dumps(RESULT).encode()],
}
"""Good files, by the names of the functions that read them."""

KINDS: list[tuple[Callable[[Any], None], st.SearchStrategy[Any], float]] = [
    (picture, damaged(GOOD["picture"]), 4),
    (array, damaged(GOOD["array"]), 1),
    (training, altered(TRAIN), 1),
    (predicting, altered(PREDICT), 1),
    (entry, altered(ENTRY), 0.5),
    (result, altered(RESULT), 1),
    (result_bytes, damaged(GOOD["result_bytes"]), 0.5),
    (kept, st.sampled_from(sorted(KEPT)).flatmap(lambda name: st.tuples(st.just(name), damaged([KEPT[name]]))), 1),
    (
        kept_values,
        st.sampled_from(sorted(KEPT)).flatmap(
            lambda name: st.tuples(st.just(name), altered(yaml.safe_load(KEPT[name].decode())))
        ),
        1,
    ),
    (calibration, damaged(GOOD["calibration"]), 1),
    (recording, damaged(GOOD["recording"]), 1),
    (classes, damaged(GOOD["classes"]), 1),
    (manifest, damaged(GOOD["manifest"]), 0.5),
]


def timed(function: Callable[[Any], None]) -> Callable[[Any], None]:
    """``function``, which has ``SECONDS``."""

    def once(content: Any) -> None:
        signal.alarm(SECONDS)
        try:
            function(content)
        finally:
            signal.alarm(0)

    once.__name__ = once.__qualname__ = function.__name__
    return once


def try_all(examples: int, number: int | None) -> None:
    """So many inputs of each kind, times its weight. ``number`` chooses them; None = always the same.

    Raises:
        SystemExit: some did not hold; they are printed, each as small as it was found to be.
    """
    fell = []
    for function, strategy, weight in KINDS:
        wanted = settings(
            max_examples=max(2, round(examples * weight)),
            derandomize=number is None,
            database=None,
            deadline=None,
            phases=[Phase.generate, Phase.shrink],
            suppress_health_check=list(HealthCheck),
        )
        test = wanted(given(strategy)(timed(function)))
        try:
            (test if number is None else seed(number)(test))()
        except Exception:
            traceback.print_exc()
            fell.append(function.__name__)
    if fell:
        sys.exit(f"fell: {', '.join(fell)}")


def late(number: int, frame: object) -> None:
    """Of ``signal.alarm``."""
    raise AssertionError(f"took more than {SECONDS} s")


def main() -> None:
    """Read the words of the command line."""
    words = dict(word.split("=") for word in sys.argv[1:])
    limit = address_space() + MEMORY
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    signal.signal(signal.SIGALRM, late)
    torch.set_num_threads(1)
    if "minutes" not in words:
        try_all(int(words.get("examples", 60)), None)
        return
    end, rounds = time.monotonic() + 60 * float(words["minutes"]), 0
    while time.monotonic() < end:
        number = random.SystemRandom().randrange(2**32)
        print(f"seed {number}", flush=True)
        try_all(200, number)
        rounds += 1
    tried = {function.__name__: rounds * round(200 * weight) for function, _, weight in KINDS}
    write({f"random inputs: {name}": {"tried": count, "held": count} for name, count in tried.items()})
    print(f"{rounds} rounds, {sum(tried.values())} inputs: all held")


if __name__ == "__main__":
    main()
