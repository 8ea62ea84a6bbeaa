"""Pictures that are none, that lie, or that are too much."""

import os
from collections.abc import Callable, Sequence
from pathlib import Path

from tests.fixtures import write_folder
from tests.hostile.harness import Case
from tests.hostile.ingredients import (
    bmp_of,
    device,
    fifo,
    jpeg_of,
    loop,
    picture,
    png_of,
    sparse,
    tiff_of,
    unix_socket,
    write_checkpoint,
)

Make = Callable[[Path], object]


def _bytes(content: bytes) -> Make:
    return lambda path: path.write_bytes(content)


def _none_stops_the_others(folder: Path) -> None:
    written = {path.name for path in (folder / "out/mask").iterdir()}
    assert "good.png" in written, written


def predicted(name: str, make: Make, expected: str, file: str | bytes = "bad.png") -> Case:
    """One bad picture beside a good one, which has to be painted all the same."""

    def built(folder: Path) -> Sequence[str]:
        write_checkpoint(folder / "best.ckpt")
        picture(folder / "in/good.png")
        make(folder / "in" / os.fsdecode(file))
        return ["predict", "checkpoint=best.ckpt", "input=in", "output=out", "gpus=0"]

    return Case(f"predict: {name}", built, expected, 1, ("out",), check=_none_stops_the_others)


def borne(name: str, file: str | bytes, height: int = 20, width: int = 30, content: bytes | None = None) -> Case:
    """A picture that is odd, and has to be painted."""

    def built(folder: Path) -> Sequence[str]:
        write_checkpoint(folder / "best.ckpt")
        (folder / "in").mkdir()
        good = picture(folder / "in/good.png", height, width).read_bytes()
        (folder / "in" / os.fsdecode(file)).write_bytes(content or good)
        return ["predict", "checkpoint=best.ckpt", "input=in", "output=out", "gpus=0", "format=[mask,overlay,sheet]"]

    def painted(folder: Path) -> None:
        assert len(list((folder / "out/mask").iterdir())) == 2

    return Case(f"predict: {name}", built, "2 pictures painted", 0, ("out",), check=painted)


def verified(name: str, make: Make, expected: str, where: str = "images") -> Case:
    """A picture or a mask of a data set."""

    def built(folder: Path) -> Sequence[str]:
        write_folder(folder / "root")
        path = folder / "root" / where / "p00.png"
        path.unlink()
        make(path)
        return ["data", "action=verify", "data=folder", "data.root=root", "data.image_shape=[16,32]"]

    return Case(f"verify, {where}: {name}", built, expected, 2, (".cache",), lines=8)


def shown(name: str, height: int, width: int, action: str = "show") -> Case:
    """A data set of odd pictures as a sheet."""

    def built(folder: Path) -> Sequence[str]:
        root = write_folder(folder / "root")
        for path in (*root.glob("images/*"), *root.glob("masks/*")):
            path.unlink()
        for i in range(3):
            picture(root / f"images/p{i}.png", height, width)
            (root / f"masks/p{i}.png").write_bytes(png_of(width, height, (b"\0" + bytes(width)) * height, kind=0))
        return ["data", f"action={action}", "data=folder", "data.root=root", "data.image_shape=[16,32]"]

    return Case(f"{action}: {name}", built, "sheet.png", 0, ("outputs",))


TOO_LARGE = r"megapixels.*data\.max_megapixels"

CASES = [
    predicted("a pipe", fifo, r"bad\.png.*no file, but a pipe"),
    predicted("a socket", unix_socket, r"bad\.png.*no file, but a socket"),
    predicted("a device", device, r"bad\.png.*no file, but a device"),
    predicted("a folder", Path.mkdir, r"bad\.png.*no file, but a folder"),
    predicted("a link to itself", loop, r"bad\.png.*symbolic links"),
    predicted("a link to nothing", lambda path: path.symlink_to("nowhere"), r"bad\.png.*No such file"),
    predicted("a tebibyte of nothing", sparse, r"bad\.png.*larger than"),
    predicted("PNG header of 30000×30000", _bytes(png_of(30_000, 30_000)), rf"bad\.png.*30000×30000.*{TOO_LARGE}"),
    predicted("palette PNG of 12000×12000", _bytes(png_of(12_000, 12_000, kind=3)), rf"bad\.png.*{TOO_LARGE}"),
    predicted("PNG header of 2³¹", _bytes(png_of(2**31, 2**31)), rf"bad\.png.*2147483648.*{TOO_LARGE}"),
    predicted("PNG header of 2³¹-1×1", _bytes(png_of(2**31 - 1, 1)), rf"bad\.png.*{TOO_LARGE}"),
    predicted("PNG of no pixels", _bytes(png_of(0, 0)), r"bad\.png"),
    predicted("JPEG header of 65535×65535", _bytes(jpeg_of(65_535, 65_535)), rf"bad\.png.*{TOO_LARGE}"),
    predicted("BMP header of 2³⁰", _bytes(bmp_of(2**30, 2**30)), r"bad\.png"),
    predicted("TIFF header of 2³⁰", _bytes(tiff_of(2**30, 2**30)), r"bad\.png"),
    predicted("PPM of 30000×30000", _bytes(b"P6 30000 30000 255\n"), r"bad\.png"),
    predicted("GIF", _bytes(b"GIF89a\xff\xff\xff\xff\x80\0\0\0\0\0\xff\xff\xff;"), r"bad\.png"),
    predicted("text", _bytes(b"no picture\n"), r"bad\.png"),
    predicted("empty", _bytes(b""), r"bad\.png.*empty"),
    predicted("a name not UTF-8", _bytes(b""), r"bad\\xff\.png.*empty", b"bad\xff.png"),
    predicted("a name of two lines", _bytes(b""), r"bad\\nerror: all lost\.png.*empty", "bad\nerror: all lost.png"),
    predicted("an escape sequence", _bytes(b""), r"bad\\x1b\[2J\.png.*empty", "bad\x1b[2J.png"),
    borne("a name of 250 bytes", "x" * 246 + ".png"),
    borne("a name not UTF-8, painted", b"bad\xff.png"),
    borne("a name of two lines, painted", "bad\nworse.png"),
    borne("a backslash, painted", "bad\\worse.png"),
    borne("blanks, quotes and markup, painted", "[bold] 'x' \"y\" $z ~.png"),
    borne("two dots, painted", "a..b.png"),
    borne("a star, painted", "a_*.png"),
    borne("more pixels than the header says, painted", "long.png", content=png_of(100, 100, bytes(1 << 28))),
    borne("60000×1, painted", "long.png", 1, 60_000),
    borne("1×60000, painted", "high.png", 60_000, 1),
    verified("a pipe", fifo, r"p00\.png.*no file, but a pipe"),
    verified("a device", device, r"p00\.png.*no file, but a device"),
    verified("a folder", Path.mkdir, r"masks/p00\.png has no images/p00"),
    verified("a link to itself", loop, r"p00\.png.*symbolic links"),
    verified("30000×30000", _bytes(png_of(30_000, 30_000)), rf"p00\.png.*{TOO_LARGE}"),
    verified("2³¹", _bytes(png_of(2**31, 2**31)), rf"p00\.png.*{TOO_LARGE}"),
    verified("a pipe", fifo, r"p00\.png.*no file, but a pipe", "masks"),
    verified("30000×30000", _bytes(png_of(30_000, 30_000, kind=3)), rf"p00\.png.*{TOO_LARGE}", "masks"),
    verified("2³¹", _bytes(png_of(2**31, 2**31, kind=3)), rf"p00\.png.*{TOO_LARGE}", "masks"),
    shown("60000×1", 1, 60_000),
    shown("1×60000", 60_000, 1),
    shown("60000×1", 1, 60_000, "stats"),
]
