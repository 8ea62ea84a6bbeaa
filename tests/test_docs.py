"""Every command that README and docs show is run, page by page in a reader's order, on small data."""

import json
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import cv2
import numpy as np
import pytest

from segkit.road.layout import PUBLISHED
from tests.commands.in_process import segkit
from tests.fixtures import (
    SMALLEST,
    level_camera,
    road_scene,
    write_bdd100k,
    write_calibrations,
    write_camvid,
    write_cityscapes,
    write_folder,
    write_kitti,
    write_kitti_semantic,
    write_rgb,
)
from tests.processes import SEGKIT, Program, python
from tests.remote.server import Bucket

REPOSITORY = Path(__file__).resolve().parents[1]
PAGES = (
    "kitti-road",
    "README",
    "generated-scenes",
    "networks",
    "large-pictures",
    "own-pictures",
    "painting",
    "street-datasets",
    "classes",
    "own-parts",
    "runs",
    "aws",
    "scores",
    "free-road",
    "video",
    "export",
    "package",
    "serve",
    "gpus",
    "sweeps",
)
ALL_PAGES = [REPOSITORY / "README.md", *sorted((REPOSITORY / "docs").glob("*.md"))]

FAST = ["data.image_shape=[32,96]", "trainer.gpus=0", "trainer.max_epochs=1", "predictions=2"]
SCENES_FAST = [*FAST, "data.val_fraction=0.3", "data.batch_size=2", "data.resize=96"]
NARROW = SMALLEST
SMALL = [*FAST[:2], "data.batch_size=16", *NARROW]

# Fewer pictures than KITTI road has, for commands that take their time for each.
FEW = ["data.root=small", "data.split=fraction"]
BESIDE = ["data.root=../small", "data.split=fraction"]
SWEEP = "python train.py -m data.image_shape='[160,576],[256,832]' optimizer.learning_rate=1e-4,3e-5 sweep.name=first"
SEARCH = "python train.py -m hydra/sweeper=optuna hydra.sweeper.n_trials=20"
SEARCH += " optimizer.learning_rate='tag(log,interval(1e-5,1e-3))' augment=road augment.shadow='interval(0,1)'"
SMALL_SWEEP = [*SMALL[1:], *FEW, "data.image_shape=[32,64],[32,96]", "trainer.max_epochs=1", "predictions=0"]
PREDICT = "segkit predict checkpoint=outputs/train/<run> input=data/data_road/testing/image_2"
DRIVE = "segkit predict checkpoint=outputs/train/<run> input=data/drive/training/image_2"
VIDEO = "segkit predict checkpoint=outputs/train/<run> input=outputs/drive/video.webm"
FAR = "segkit predict checkpoint=s3://<bucket>/runs/train/<run> input=s3://<bucket>/data_road/testing/image_2"
SCENES = "python train.py data.root=data/scenes"
CROPS = "data.resize=null 'data.image_shape=[160,320]' data.window=sliding data.overlap=0.25 model.weights=null"
PAINT = "segkit predict checkpoint=outputs/mine/<mine> input=photo.jpg"
OWN = "python ../train.py data.root=../data/scenes"
SOUP = [*SMALL, *FEW, "trainer.max_epochs=1", "predictions=0"]
STREET = "model=fpn model.encoder=resnet18 model.weights=null"
PREDICT_STREET = (
    "segkit predict checkpoint=outputs/cityscapes/<street> input='data/cityscapes/leftImg8bit/test/*/*.png'"
)
COMPARE = "'compare={vegetation: [tree, vegetation, terrain], sidewalk: [pavement, sidewalk]}'"
MERGE = "'data.classes={vehicle: [car, truck, bus], road: [road], ignore: [terrain]}'"
TWO = "'checkpoint=[outputs/soup/a,outputs/soup/b]'"

BUNDLED_FILES = {"model.safetensors", "config.json", "README.md"}

SERVER = "http://127.0.0.1:8080"

# Command as shown -> what makes it small enough for a test.
RUN_HERE = {
    "segkit data action=download data.root=data/data_road": ["data.url=data_road.zip"],
    "segkit data action=stats data.root=data/data_road": [],
    "segkit data action=verify data.root=data/data_road": [],
    "python train.py model=fcn8 trainer.gpus=1": [*SMALL, *FEW, "trainer.max_epochs=1", "predictions=2"],
    f"{PREDICT} output=painted": ["input=small/testing/image_2"],
    "segkit predict input=photo.jpg": [],
    "segkit data action=generate data.root=data/scenes 'count=[289,290]' seed=0": ["count=[4,3]"],
    f"{SCENES} model.weights=null": [*FAST, *NARROW, *FEW],
    "segkit predict checkpoint=outputs/train/<run> input=data/scenes/testing/image_2 output=painted": ["output=again"],
    "segkit data action=generate data.root=data/sim2real 'count=[6000,300]' seed=0 looks=varied": ["count=[6,3]"],
    "segkit data action=show data.root=data/sim2real": [],
    "segkit data action=generate data.root=data/objects 'count=[20000,0]' seed=0 looks=varied 'also=[semantic]'": [
        "count=[6,0]"
    ],
    "python train.py experiment=bundled trainer.gpus=1": SCENES_FAST,
    "python train.py experiment=scenes_objects trainer.gpus=1": SCENES_FAST,
    "python train.py experiment=camvid_best data.root=data/camvid init_from=outputs/scenes_objects/<objects> "
    "trainer.max_epochs=40 optimizer.warmup=100": [*FAST, "trainer.max_epochs=1", "data.batch_size=2"],
    "python train.py experiment=sim2real trainer.gpus=1": SCENES_FAST,
    "segkit evaluate checkpoint=outputs/sim2real/<varied> data=camvid data.classes=road part=all": [],
    f"{PREDICT.replace('train/<run>', 'sim2real/<varied>')} output=sheets format=sheet": [
        "input=small/testing/image_2"
    ],
    f"{SCENES} model=unet model.encoder=resnet34 loss=dice optimizer=adamw trainer.ema=0.999": [
        *FAST,
        *FEW,
        "model.weights=null",
        "model.encoder=resnet18",
    ],
    "segkit data action=init data.root=mine": [],
    "segkit data action=show data=folder data.root=mine": [],
    "segkit data action=verify data=folder data.root=mine": [],
    "python train.py data=folder data.root=mine model.weights=null name=mine": [*FAST, *NARROW],
    "segkit evaluate checkpoint=outputs/mine/<mine>": [],
    "segkit predict checkpoint=outputs/mine/<mine> input=photo.jpg output=painted/mine": [],
    f"{PAINT} output=painted/light paint.alpha=0.3 paint.outlines=false": [],
    f"{PAINT} output=painted/bare paint.legend=false": [],
    "segkit evaluate checkpoint=outputs/mine/<mine> paint.colours=colour_blind": [],
    "segkit data action=verify data=cityscapes": [],
    "segkit data action=stats data=cityscapes": [],
    f"python train.py data=cityscapes {STREET} loss=ohem name=cityscapes": FAST,
    "segkit evaluate checkpoint=outputs/cityscapes/<street>": [],
    f"{PREDICT_STREET} output=server format=cityscapes": [],
    "segkit data action=download data=kitti_semantic data.root=data/data_semantics": ["data.url=data_semantics.zip"],
    f"python train.py data=kitti_semantic {STREET} init_from=outputs/cityscapes/<street> name=kitti_semantic": [
        *FAST,
        "trainer.limit_batches=2",
    ],
    f"python train.py data=bdd100k {STREET}": [*FAST, "name=bdd100k"],
    f"segkit evaluate checkpoint=outputs/cityscapes/<street> data=camvid {COMPARE}": [],
    f"python train.py data=cityscapes {MERGE} model.weights=null": [*FAST, *NARROW],
    "cd examples": [],
    "python ../train.py data=two_folders data.root=pictures model.weights=null": [*FAST, *NARROW],
    f"{OWN} model=sum_decoder": [*FAST, *BESIDE],
    f"{OWN} model=tiny_encoder": [*FAST, *BESIDE],
    f"{OWN} loss=tversky model.weights=null": [*FAST, *NARROW, *BESIDE],
    f"{OWN} experiment=outlines model.weights=null": [*FAST, *NARROW, *BESIDE],
    f"{OWN} augment=greyscale model.weights=null": [*FAST, *NARROW, *BESIDE],
    f"{OWN} trainer=halve_rate model.weights=null": [*FAST, *NARROW, *BESIDE],
    f"{SCENES} model=fpn model.encoder=resnet18 model.weights=null": [*FAST, *FEW],
    f"{SCENES} loss=cross_entropy_dice model.weights=null": [*FAST, *NARROW, *FEW],
    f"{SCENES} augment=street augment.strength=0.7 model.weights=null": [*FAST, *NARROW, *FEW],
    "segkit data action=show augment=street data.root=data/scenes": ["data.image_shape=[32,96]", *FEW],
    f"{SCENES} {CROPS}": [
        *FAST,
        *NARROW,
        *FEW,
        "data.image_shape=[16,48]",
    ],
    "segkit predict checkpoint=examples/outputs/train/<own> input=photo.jpg trust=sum_decoder": ["output=trusted"],
    "python train.py resume=outputs/train/<run>": ["trainer.max_epochs=2"],
    "segkit report run=outputs/train/<run> into=experiments/mine": [],
    "python train.py data.root=s3://<bucket>/data_road upload=s3://<bucket>/runs": [
        *SMALL,
        "data.split=fraction",
        "trainer.max_epochs=1",
        "predictions=1",
    ],
    "python train.py resume=s3://<bucket>/runs/train/<run>": ["trainer.max_epochs=2"],
    "segkit evaluate checkpoint=s3://<bucket>/runs/train/<run>": ["view=perspective"],
    f"{FAR} output=painted": ["output=far"],
    "segkit report sweep=s3://<bucket>/runs/train": [],
    "segkit evaluate checkpoint=outputs/train/<run>": [],
    "segkit evaluate checkpoint=outputs/train/<run> part=all": [],
    "segkit evaluate predictions=maps data.root=data/data_road part=all": [],
    "segkit evaluate checkpoint=outputs/train/<run> corruption=shadow severity=3": ["view=bev"],
    "segkit evaluate checkpoint=outputs/train/<run> 'average=[flip,0.75,1.25,1.5]'": ["view=perspective"],
    "python train.py init_from=outputs/train/<run> seed=1 hydra.run.dir=outputs/soup/a": SOUP,
    "python train.py init_from=outputs/train/<run> seed=2 hydra.run.dir=outputs/soup/b": SOUP,
    f"segkit average {TWO} output=outputs/soup/a/checkpoints/soup.ckpt": [],
    "segkit evaluate checkpoint=outputs/soup/a/checkpoints/soup.ckpt": ["view=perspective"],
    f"segkit evaluate {TWO} 'average=[flip]'": ["view=perspective"],
    "python train.py -m data.split=fold data.fold=0,1,2,3,4 name=folds": [
        *SMALL,
        "data.root=small",
        "trainer.max_epochs=1",
        "predictions=0",
    ],
    "segkit evaluate checkpoint=outputs/folds/<sweep>": ["view=perspective"],
    f"{PREDICT} output=submission format=submission": ["data.root=small", "input=small/testing/image_2"],
    "segkit export checkpoint=outputs/train/<run>": ["tolerance=0.05"],
    "segkit evaluate checkpoint=outputs/train/<run>/exported/best.onnx": ["view=perspective"],
    "segkit predict checkpoint=outputs/train/<run>/exported/best.onnx input=photo.jpg": ["output=exported"],
    "segkit package checkpoint=outputs/train/<run> output=nets/road license=cc-by-nc-4.0": [],
    "segkit predict checkpoint=nets/road input=photo.jpg output=painted/packaged": [],
    "segkit evaluate checkpoint=nets/road data.root=data/data_road": [
        "data.root=small",
        "data.split=fraction",
        *SMALL[:1],
        "view=perspective",
    ],
    f"{PREDICT} output=above 'format=[overlay,bev]'": ["input=small/testing/image_2"],
    "segkit data action=generate data.root=data/drive drive=100 seed=3": ["drive=3"],
    f"{DRIVE} output=outputs/drive format=video": [],
    f"{VIDEO} output=outputs/again 'format=[video,overlay]' smooth=0.3": [],
    "segkit serve checkpoint=outputs/train/<run>": ["port=0", "gpus=0", "batch=1"],
    "curl --data-binary @photo.jpg http://127.0.0.1:8080/invocations --output mask.png": [],
    "python train.py trainer.gpus=4": [*SMALL, *FEW, "trainer.cpu_processes=2", "trainer.max_epochs=1"],
    # The second and the third find all runs of the first finished; jobs of Ray and SLURM are run in tests/sweeps.
    SWEEP: SMALL_SWEEP,
    f"{SWEEP} hydra/launcher=gpus": SMALL_SWEEP,
    f"{SWEEP} hydra/launcher=gpus sweep.address=auto": SMALL_SWEEP,
    f"{SWEEP} hydra/launcher=slurm": SMALL_SWEEP,
    f"{SEARCH} sweep.name=search": [
        *SMALL,
        *FEW,
        "hydra.sweeper.n_trials=2",
        "trainer.max_epochs=1",
    ],
    "segkit report sweep=first": [],
    "python train.py -m seed=0,1 loss=cross_entropy,cross_entropy_dice sweep.name=seeds": [
        *SMALL,
        *FEW,
        "trainer.max_epochs=1",
        "predictions=0",
    ],
    "segkit report sweep=seeds": [],
    "segkit evaluate -m checkpoint=outputs/sweeps/seeds/<one>,outputs/sweeps/seeds/<another>": ["view=perspective"],
    "segkit report run=outputs/evaluate/<evaluations> into=experiments/seeds": [],
}
# The recipes behind `make demo` and `make tensorboard` are run below; `make lint test` is what CI runs.
RUN_ELSEWHERE = {"make setup", "make demo", "make test", "make tensorboard", "source .venv/bin/activate"}
RUN_ELSEWHERE |= {"make bundled run=outputs/bundled/<bundled> camvid=data/camvid kitti=data/data_road"}
RUN_ELSEWHERE |= {"segkit bench what=train"}  # by tests/commands/test_bench.py
RUN_ELSEWHERE |= {"segkit bench what=serve model.fc_channels=32"}  # by tests/benchmarks/test_serve.py
# tests/commands/test_data_parallel.py, tests/sweeps/test_ray_pool.py and tests/sagemaker run these as they stand there.
SAGEMAKER = ("segkit sagemaker", "python train.py -m hydra/launcher=sagemaker")
RUN_ELSEWHERE |= {
    line
    for page in ALL_PAGES
    for line in page.read_text().splitlines()
    if line.startswith(("torchrun ", "srun ", "ray start --head", *SAGEMAKER))
}


def blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"^ *```{language}\n(.*?)^ *```", page.read_text(), re.DOTALL | re.MULTILINE)


def shown(page: Path) -> list[str]:
    return [line.strip() for block in blocks(page, "sh") for line in block.splitlines()]


def filled(command: str, cwd: Path) -> str:
    """With the names of what the commands before have left."""
    command = command.replace("<bucket>", "roads")
    places = {
        "<run>": ("outputs/train/*", -1),
        "<sweep>": ("outputs/folds/*", -1),
        "<own>": ("examples/outputs/train/*", 1),  # that of the decoder
        "<one>": ("outputs/sweeps/seeds/*seed_0*", 0),
        "<another>": ("outputs/sweeps/seeds/*seed_1*", 0),
        "<evaluations>": ("outputs/evaluate/*_sweep", -1),
        "<street>": ("outputs/cityscapes/*", -1),
        "<mine>": ("outputs/mine/*", -1),
        "<varied>": ("outputs/sim2real/*", -1),
        "<objects>": ("outputs/scenes_objects/*", -1),
    }
    for place, (pattern, which) in places.items():
        if place in command:
            command = command.replace(place, sorted(cwd.glob(pattern))[which].name)
    return command


@contextmanager
def serving(command: str, *more: str, cwd: Path) -> Iterator[str]:
    """The address of a server in a process of its own, which Ctrl-C ends."""
    _, *words = shlex.split(filled(command, cwd))
    server = Program(SEGKIT, [*words, *more], cwd)
    try:
        assert server.stdout is not None
        yield next(line.split()[-1] for line in server.stdout if line.startswith("serving at "))
        server.send_signal(signal.SIGINT)
        assert server.wait(60) == 0
    finally:
        server.kill()
        server.wait()


def run(command: str, *more: str, cwd: Path) -> None:
    """What a command does, in this process, which has torch imported already."""
    command = filled(command, cwd)
    program, *words = shlex.split(command)
    if program == "curl":
        subprocess.run([program, "--fail", "--silent", *words], cwd=cwd, check=True)
        return
    if Path(program).name == "python":
        assert Path(words[0]).name == "train.py"
        words[0] = "train"
    # Folders are named after the second, which two commands may be quick enough to share here, as no person is.
    while any(path.name.startswith(time.strftime("%Y-%m-%d_%H-%M-%S")) for path in cwd.glob("outputs/*/*")):
        pass
    if "trainer.cpu_processes=2" in more:  # which start at once below a process of its own
        ended = python(SEGKIT, *words, *more, cwd=cwd, spawns=2)
        assert ended.returncode == 0, f"{command}\n{ended.stdout}\n{ended.stderr}"
        return
    done = segkit(*words, *more, cwd=cwd)
    assert done.code == 0, f"{command}\n{done.out}\n{done.err}"


def prune(folder: Path) -> None:
    """Remove what only resuming needs, twice the weights, of all runs but the newest."""
    runs = sorted(folder.rglob("last.ckpt"), key=lambda path: path.stat().st_mtime)
    for path in runs[:-1]:
        path.unlink()


def published_zip(path: Path) -> None:
    """An archive with KITTI road's names and counts, and pictures of a few pixels."""
    root = path.parent / "source" / "data_road"
    rng = np.random.default_rng(0)
    for part, counts in PUBLISHED.items():
        for category, count in counts.items():
            for i in range(count):
                image, road, lane = road_scene(20, 60, rng)
                write_rgb(root / f"{part}/image_2/{category}_{i:06d}.png", image)
                calibration = root / f"{part}/calib/{category}_{i:06d}.txt"
                calibration.parent.mkdir(parents=True, exist_ok=True)
                calibration.write_text(level_camera(35, (30, 7), 1.65).text())
                if part == "training":
                    write_rgb(root / f"{part}/gt_image_2/{category}_road_{i:06d}.png", road)
                if part == "training" and category == "um":
                    write_rgb(root / f"{part}/gt_image_2/um_lane_{i:06d}.png", lane)
    with zipfile.ZipFile(path, "w") as zipped:
        for file in sorted(path for path in root.rglob("*") if path.is_file()):
            zipped.write(file, file.relative_to(root.parent))


def semantic_zip(path: Path) -> None:
    """An archive with the counts of KITTI's semantic pictures."""
    root = write_kitti_semantic(path.parent / "semantic", 200, 200)
    with zipfile.ZipFile(path, "w") as zipped:
        for file in sorted(path for path in root.rglob("*") if path.is_file()):
            zipped.write(file, file.relative_to(root))


def two_folders(source: Path, root: Path) -> None:
    """The training pictures of a set in KITTI road's layout as pictures and masks of class numbers."""
    images = sorted((source / "training/image_2").glob("*.png"))
    for i, path in enumerate(images):
        part = root / ("val" if i % 3 == 0 else "train")
        label = cv2.imread(str(source / "training/gt_image_2" / path.name.replace("_", "_road_")))
        for folder, picture in (("images", cv2.imread(str(path))), ("masks", (label[..., 0] > 0).astype(np.uint8))):
            (part / folder).mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(part / folder / path.name), picture)


def test_every_command_is_known_here() -> None:
    assert {command for page in ALL_PAGES for command in shown(page)} == set(RUN_HERE) | RUN_ELSEWHERE


def test_links_lead_somewhere() -> None:
    for page in ALL_PAGES:
        for target in re.findall(r"\]\(([^)#]+)", page.read_text()):
            assert target.startswith("http") or (page.parent / target).exists(), f"{page.name}: {target}"


def test_every_command_runs(tmp_path: Path, bucket: Bucket) -> None:
    published_zip(tmp_path / "data_road.zip")
    write_kitti(tmp_path / "small")
    write_calibrations(tmp_path / "small")
    bucket.put_tree(tmp_path / "small", "data_road")
    write_camvid(tmp_path / "data" / "camvid")
    shutil.copytree(REPOSITORY / "examples", tmp_path / "examples")
    two_folders(tmp_path / "small", tmp_path / "examples" / "pictures")
    write_cityscapes(tmp_path / "data" / "cityscapes")
    write_bdd100k(tmp_path / "data" / "bdd100k")
    semantic_zip(tmp_path / "data_semantics.zip")
    write_folder(tmp_path / "mine", count=6, colours=True)
    cv2.imwrite(str(tmp_path / "photo.jpg"), np.full((40, 90, 3), 128, np.uint8))
    for label in (tmp_path / "source").rglob("gt_image_2/*_road_*.png"):  # a half-sure map of each
        write_rgb(tmp_path / "maps" / label.name, cv2.imread(str(label))[..., 0] // 2)
    for name in PAGES:
        page = next(page for page in ALL_PAGES if page.stem == name)
        folder, address, servers = tmp_path, SERVER, ExitStack()
        for command in [command for command in shown(page) if command in RUN_HERE]:
            if "action=init" in command:  # shown on two pages
                (folder / "mine" / "classes.yaml").unlink(missing_ok=True)
            if command == "cd examples":
                folder = tmp_path / "examples"
            elif command.startswith("segkit serve "):  # it is there until the page's end
                address = servers.enter_context(serving(command, *RUN_HERE[command], cwd=folder))
            else:
                run(command.replace(SERVER, address), *RUN_HERE[command], cwd=folder)
                prune(tmp_path)
        for code in blocks(page, "python"):
            code = code.replace("<run>", sorted(tmp_path.glob("outputs/train/*"))[-1].name).replace(SERVER, address)
            done = python(code, cwd=tmp_path)
            assert done.returncode == 0, done.stderr
            assert "['background', 'road'] (40, 90)" in done.stdout
        servers.close()
    assert len(list((tmp_path / "painted" / "overlay").iterdir())) == 6
    assert len(list((tmp_path / "server" / "cityscapes").iterdir())) == 1
    assert (tmp_path / "painted" / "mine" / "overlay" / "photo.png").is_file()
    assert cv2.imread(str(tmp_path / "mask.png")).shape == (40, 90, 3)
    assert (tmp_path / "trusted" / "mask" / "photo.png").is_file()
    assert (tmp_path / "outputs" / "soup" / "a" / "checkpoints" / "soup.ckpt").is_file()
    assert (tmp_path / "experiments" / "mine" / "README.md").is_file()
    with zipfile.ZipFile(tmp_path / "submission" / "submission.zip") as submission:
        assert len(submission.namelist()) == 6
    assert len(list((tmp_path / "above" / "bev").iterdir())) == 6
    assert len(list((tmp_path / "far" / "overlay").iterdir())) == 6
    assert len(list((tmp_path / "outputs" / "again" / "overlay").iterdir())) == 3
    assert (tmp_path / "outputs" / "again" / "video.webm").is_file()
    assert (tmp_path / "outputs" / "sweeps" / "train" / "report" / "report.html").is_file()
    assert (tmp_path / "sheets" / "sheet.jpg").is_file()
    scored = [json.loads(path.read_text()) for path in sorted(tmp_path.glob("outputs/evaluate/*/result.json"))]
    assert sorted(sum(result["pictures"].values()) for result in scored)[-2:] == [18, 289]
    recipes = json.loads((tmp_path / "outputs/sweeps/seeds/report/result.json").read_text())["recipes"]
    assert [(recipe["recipe"], recipe["scores"]["iou"]["count"]) for recipe in recipes] == [
        ("loss=cross_entropy", 2),
        ("loss=cross_entropy_dice", 2),
    ]
    assert (tmp_path / "experiments" / "seeds" / "README.md").is_file()
    assert len(list((tmp_path / "outputs" / "sweeps" / "first").glob("image_*/result.json"))) == 4
    assert "<table" in (tmp_path / "outputs" / "sweeps" / "first" / "report" / "report.html").read_text()


def recipe(*words: str) -> list[str]:
    """The lines of a target of the Makefile, with its variables."""
    make = ["make", "-n", "--no-print-directory", *words]  # the tests may run below another make
    lines = subprocess.run(make, cwd=REPOSITORY, capture_output=True, text=True, check=True).stdout
    lines = lines.replace("\\\n", " ")
    return [line.split("||")[-1].strip().removeprefix(".venv/bin/") for line in lines.splitlines()]


def test_the_demo_runs(tmp_path: Path) -> None:
    starts = ("segkit data", "segkit predict", "python train.py")
    generate, predict, train = [line for line in recipe("demo") if line.startswith(starts)]
    run(generate, "count=[8,3]", cwd=tmp_path)
    run(predict, cwd=tmp_path)
    assert (tmp_path / "outputs/first/overlay/um_000000.png").is_file()
    small = ["data.image_shape=[32,96]", "model.decoder.width=8", "trainer.max_epochs=1", "data.workers=0"]
    run(train, *small, cwd=tmp_path)
    (result,) = tmp_path.glob("outputs/demo/*/predictions/overlay")
    assert len(list(result.iterdir())) == 3


def test_the_network_that_comes_along_is_made_of_a_run(tmp_path: Path) -> None:
    write_kitti_semantic(tmp_path / "objects", 6, 0)
    write_camvid(tmp_path / "data/camvid")
    write_kitti(tmp_path / "data/data_road")
    words = ["data.root=objects", *FAST, "predictions=0", "hydra.run.dir=outputs/bundled/run", "data.val_fraction=0.5"]
    run("python train.py experiment=bundled", *words, cwd=tmp_path)
    lines = [line for line in recipe("bundled", "run=outputs/bundled/run") if line]
    for line in lines[next(number for number, line in enumerate(lines) if line.startswith("rm -rf")) :]:
        if not line.startswith("segkit "):
            subprocess.run(shlex.split(line), cwd=tmp_path, check=True)
        elif line.startswith("segkit evaluate "):  # of what is in the tests' own folder
            run(line, "checkpoint=segkit/bundled", "gpus=0", "data.image_shape=[32,96]", "data.resize=64", cwd=tmp_path)
        else:
            run(line, cwd=tmp_path)
    assert {path.name for path in (tmp_path / "segkit/bundled").iterdir()} == BUNDLED_FILES
    card = (tmp_path / "segkit/bundled/README.md").read_text()
    assert card.count("`segkit evaluate ") == 2
    assert "experiment=bundled" in card
    assert "never seen a photograph" in card


def test_tensorboard_starts(tmp_path: Path) -> None:
    (line,) = [line for line in recipe("tensorboard") if line.startswith("tensorboard")]
    command = [sys.executable, "-m", "tensorboard.main", *shlex.split(line)[1:], "--port", "0"]
    server = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        assert server.stdout is not None
        said = ""
        for text in server.stdout:
            said += text
            if "http://localhost:" in text:
                return
        pytest.fail(said)
    finally:
        server.kill()
        server.wait()
