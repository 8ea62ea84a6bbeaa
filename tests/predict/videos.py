"""Small videos for tests: a grey that grows with the frame's number, and a road that does not move."""

from pathlib import Path

import cv2
import numpy as np

RATE = 10


def picture(number: int, size: tuple[int, int] = (48, 64)) -> np.ndarray:
    """RGB (H, W, 3): grey, 10 brighter with every frame, green in its lower half."""
    image = np.full((*size, 3), 20 + 10 * number, np.uint8)
    image[size[0] // 2 :, :, 1] = 255
    return image


def grey(image: np.ndarray) -> int:
    """The number of the frame that ``image`` shows."""
    return round((float(image[:16].mean()) - 20) / 10)


def write_video(path: Path, count: int = 12, codec: str = "MJPG", size: tuple[int, int] = (48, 64)) -> Path:
    """``count`` pictures at ``RATE``."""
    path.parent.mkdir(parents=True, exist_ok=True)
    writer = cv2.VideoWriter(str(path), cv2.CAP_FFMPEG, cv2.VideoWriter.fourcc(*codec), RATE, size[::-1])
    assert writer.isOpened()
    for number in range(count):
        writer.write(picture(number, size)[..., ::-1])
    writer.release()
    return path


def break_frames(path: Path, numbers: list[int]) -> None:
    """Overwrite frames of an AVI file of ``write_video``."""
    data = bytearray(path.read_bytes())
    place = data.index(b"movi")
    for number in range(max(numbers) + 1):
        place = data.index(b"00dc", place) + 8  # the chunk's name and size
        if number in numbers:
            length = int.from_bytes(data[place - 4 : place], "little")
            data[place : place + length] = bytes(length)
    path.write_bytes(data)
