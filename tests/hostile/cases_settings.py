"""Settings of another type, beyond all measure, or made to lead elsewhere."""

from collections.abc import Sequence
from pathlib import Path

from tests.fixtures import write_kitti
from tests.hostile.harness import Case
from tests.hostile.ingredients import MODEL_WORDS, picture, write_checkpoint

SMALL = ["data.image_shape=[32,64]", "data.split=fraction", "data.val_fraction=0.5", "data.workers=0", "predictions=0"]
SMALL += ["trainer.max_epochs=1", "trainer.gpus=0", *MODEL_WORDS]
LONG = "1" + "0" * 19


def trained(words: Sequence[str], expected: str, data: bool = False) -> Case:
    """``segkit train`` with ``words``; ``data``: what they are about is seen only where data lie there."""

    def built(folder: Path) -> Sequence[str]:
        if data:
            write_kitti(folder / "data/data_road", 2, 1)
        return ["train", *SMALL, *words]

    return Case(f"train {' '.join(words)[:60]}", built, expected, 2, (".cache",) if data else (), lines=5)


def predicted(words: Sequence[str], expected: str) -> Case:
    def built(folder: Path) -> Sequence[str]:
        write_checkpoint(folder / "best.ckpt")
        picture(folder / "in/a.png")
        return ["predict", "checkpoint=best.ckpt", "input=in", "output=out", "gpus=0", *words]

    return Case(f"predict {' '.join(words)[:60]}", built, expected)


def data(words: Sequence[str], expected: str) -> Case:
    return Case(f"data {' '.join(words)[:60]}", lambda folder: ["data", *words], expected)


ROOM = r"GiB.*(free|lower)"
NUMBERS = (
    ("data.batch_size", "65536"),
    ("data.workers", "256"),
    ("trainer.max_epochs", "1000000000"),
    ("trainer.accumulate", "1000000000"),
    ("trainer.num_nodes", "100000"),
    ("trainer.cpu_processes", "100000"),
    ("seed", "4294967296"),
    ("data.seed", "4294967296"),
    ("optimizer.learning_rate", "1e300"),
    ("optimizer.weight_decay", "1e300"),
    ("model.decoder.width", "1000000000"),
    ("data.fold", LONG),
)

CASES = [
    *(trained([f"{key}={LONG}"], rf"{key}={LONG}: should be less than") for key, _ in NUMBERS if "." in key),
    *(
        trained([f"{key}={value}"], rf"{key}={value.replace('1e300', '1e.300')}: should be less than")
        for key, value in NUMBERS
        if key in ("seed", "data.seed", "optimizer.learning_rate", "optimizer.weight_decay", "model.decoder.width")
    ),
    trained(["data.workers=1000"], r"data\.workers=1000: should be less than or equal to"),
    trained(["trainer.cpu_processes=100000"], r"trainer\.cpu_processes=100000: should be"),
    trained(["trainer.num_nodes=100000"], r"trainer\.num_nodes=100000: should be"),
    trained(["data.image_shape=[20000,20000]"], r"data\.image_shape\.0=20000: should be less than"),
    trained(["data.image_shape=[16000,16000]"], rf"data\.image_shape=\[16000,16000\].*{ROOM}", True),
    trained(["data.batch_size=60000"], rf"data\.batch_size=60000.*{ROOM}", True),
    trained(["model=fcn8", "model.weights=null", "~model.decoder", "model.fc_channels=60000"], r"cannot|no such|model"),
    trained(["model.decoder.width=60000"], rf"model: its weights.*{ROOM}", True),
    trained(["seed=-1"], r"seed=-1: should be"),
    trained(["seed=1.5"], r"seed=1\.5: should be"),
    trained(["optimizer.learning_rate=nan"], r"optimizer\.learning_rate=nan"),
    trained(["optimizer.learning_rate=inf"], r"optimizer\.learning_rate=inf"),
    trained(["optimizer.learning_rate=0"], r"optimizer\.learning_rate=0"),
    trained(["data._target_=5"], r"data\._target_=5: should be a class"),
    trained(["model._target_=os.system"], r"model"),
    trained(["model._target_=."], r"model\._target_=\.: "),
    trained(["model._target_=a..b"], r"model\._target_=a\.\.b: "),
    trained(["model._target_="], r"model\._target_"),
    trained(["model=5"], r"model=5: no such file"),
    trained(["model=../../etc/passwd"], r"model=../../etc/passwd: no such file"),
    trained(["=5"], r"=5: cannot be read"),
    trained(["="], r"=: cannot be read"),
    trained(["seed"], r"seed: cannot be read"),
    trained(["seed==5"], r"seed"),
    trained(["+seed=5"], r"seed"),
    trained(["data.cache_dir="], r"data\.cache_dir=.*(should|empty)"),
    trained(["hydra.run.dir="], "folder of the results is empty"),
    trained(["data.cache_dir=null"], r"data\.cache_dir=null"),
    trained(["data.root="], r"data\.root= is empty: give a folder"),
    trained(["data.root=5"], r"data\.root"),
    trained(["data.root=/dev/null"], r"data\.root=/dev/null"),
    trained(["data.cache_dir=/dev/null"], r"/dev/null.*(Not a directory|another|elsewhere)", True),
    trained(["data.cache_dir=/proc/x"], r"/proc/x", True),
    trained(["name=../../../x"], r"name=\.\./\.\./\.\./x: should be"),
    trained(["name=/tmp/x"], r"name=/tmp/x: should be"),
    trained(["name=.."], r"name=\.\.: should be"),
    trained(["name="], r"name=: .*at least 1"),
    trained([f"name={'x' * 300}"], r"name=x+: should be"),
    trained(["'name=\"a\\nb\"'"], r"name"),
    trained(["hydra.run.dir=/proc/x"], r"/proc"),
    trained(["hydra.run.dir=data/data_road/training/image_2/um_000000.png"], r"um_000000\.png", True),
    trained(["hydra.job.chdir=true"], r"hydra\.job\.chdir"),
    trained(["init_from=nowhere"], r"init_from: nowhere", True),
    trained(["trainer.callbacks=[{_target_:os.system}]"], r"trainer\.callbacks", True),
    trained(["trainer.callbacks=[5]"], r"trainer\.callbacks\.0=5"),
    trained(["data=[camvid,kitti_road]"], r"data"),
    trained(["data.augment=5"], r"data\.augment=5"),
    trained(["model.encoder=[1,2]"], r"model\.encoder"),
    trained(["model.encoder=timm/" + "x" * 5000], r"timm has no such network", True),
    trained(["trainer.monitor=" + "x" * 100000], r"trainer\.monitor", True),
    trained(["data.image_shape=" + "[" * 500 + "]" * 500], r"data\.image_shape"),
    trained(["data.image_shape=" + "[" * 5000 + "]" * 5000], r"data\.image_shape"),
    trained(["seed=${seed}"], r"seed"),
    trained(["seed=${oc.env:NOTHING}"], r"NOTHING"),
    trained(["seed=${nothing:1}"], r"nothing"),
    trained(["+data.more=1"], r"data\.more"),
    trained(["paint.alpha=2"], r"paint\.alpha=2"),
    trained(["optimizer.warmup=-1"], r"optimizer\.warmup=-1"),
    trained(["optimizer.warmup=1.5"], r"optimizer\.warmup=1\.5"),
    data(["action=generate", "count=[1000000000,1]", "data.root=x"], r"count\.0=1000000000: should be less than"),
    data(["action=generate", "count=[1000000,1000000]", "data.root=x"], r"count=\[1000000,1000000\].*GiB.*free"),
    data(["action=generate", "drive=1000000000", "data.root=x"], r"drive=1000000000: should be less than"),
    data(["action=generate", "count=[0,0]", "data.root=x"], r"count=\[0, ?0\]"),
    data(["action=generate", "count=[1,1]", "data.root=/dev/null/x"], r"/dev/null"),
    data(["action=generate", "count=[1,1]", "data.root=/proc/x"], r"/proc/x"),
    data(["action=generate", "count=[1,1]", "data.root="], r"data\.root"),
    data(["action=init", "data=folder", "data.root=/proc/1"], r"/proc/1"),
    predicted(["input=/dev/zero"], r"/dev/zero"),
    predicted(["input="], r"input=: no picture"),
    predicted(["input=99999999999999999999"], r"input=9+"),
    predicted(["input=" + "x" * 5000], r"x{100}.*(too long|no picture)"),
    predicted(["input=**/**/**/**"], r"input|written|skipped|same name"),
    predicted(["checkpoint=/dev/zero"], r"/dev/zero"),
    predicted(["checkpoint=" + "x" * 5000], r"x{100}"),
    predicted(["checkpoint="], r"checkpoint"),
    predicted(["checkpoint=[]"], r"checkpoint"),
    predicted(["output="], r"folder of the results is empty"),
    predicted(["output=best.ckpt"], r"best\.ckpt"),
    predicted(["output=in/a.png"], r"in/a\.png"),
    predicted(["output=/proc/x"], r"/proc/x"),
    predicted(["average=[1e300]"], r"average=\[1e.?300\]: should be"),
    predicted(["format=[[mask]]"], r"format="),
    predicted(["format={a:1}"], r"format="),
    predicted(["gpus=" + LONG], r"gpus=1000"),
    predicted(["gpus=[[1]]"], r"gpus=\[\[1\]\]"),
    predicted(["calibration=/dev/zero"], r"/dev/zero"),
    predicted(["data.max_megapixels=1e9"], r"data\.max_megapixels=1000000000\.0: should be"),
    predicted(["stride=" + LONG, "format=video"], r"stride=1000"),
    predicted(["fps=1e300", "format=video"], r"fps=1e.300"),
    predicted(["start=1e300", "format=video"], r"start=1e.300"),
]
