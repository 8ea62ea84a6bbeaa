"""Smooth noise and the small pictures that things are painted with. All are drawn from a generator: no files."""

import cv2
import numpy as np

from segkit.scenes.arrays import Array

Colour = tuple[float, float, float]


def smooth_noise(rng: np.random.Generator, shape: tuple[int, int], cells: tuple[int, int]) -> Array:
    """A random field (H, W) float32 of about unit spread that varies over ``cells`` (rows, columns)."""
    coarse = rng.standard_normal(cells, dtype=np.float32)
    return cv2.resize(coarse, (shape[1], shape[0]), interpolation=cv2.INTER_CUBIC)


def fractal_noise(rng: np.random.Generator, size: int, octaves: tuple[int, ...]) -> Array:
    """(size, size) float32: fields of the given cell counts summed, each weaker than the one before."""
    total = np.zeros((size, size), np.float32)
    for index, cells in enumerate(octaves):
        total += smooth_noise(rng, (size, size), (cells, cells)) * 0.75**index
    return total / np.float32(total.std() + 1e-6)


def house_front(rng: np.random.Generator) -> Array:
    """A front with windows, doors and a base: (192, 384, 3) uint8 BGR."""
    palette = ((150, 165, 175), (120, 160, 190), (175, 180, 182), (95, 120, 165), (130, 135, 140), (85, 95, 130))
    colour = np.array(palette[int(rng.integers(len(palette)))], np.float32) * rng.uniform(0.75, 1.2)
    front = colour + 6 * smooth_noise(rng, (192, 384), (12, 24))[..., None] + 4 * rng.standard_normal((192, 384, 1))
    front = np.clip(front, 0, 255).astype(np.uint8)
    floors, bays = int(rng.integers(2, 5)), int(rng.integers(3, 9))
    frame = tuple(float(x) for x in np.clip(colour * rng.uniform(1.1, 1.4), 0, 255))
    floor_height, bay_width = 192 / floors, 384 / bays
    width, height = bay_width * rng.uniform(0.4, 0.7), floor_height * rng.uniform(0.4, 0.6)
    for floor in range(floors):
        for bay in range(bays):
            left, top = (bay + 0.5) * bay_width - width / 2, (floor + 0.3) * floor_height
            is_door = floor == floors - 1 and rng.random() < 0.2
            bottom = 192 if is_door else top + height
            glass = rng.uniform(25, 75) if rng.random() < 0.85 else rng.uniform(120, 190)
            first, last = (int(left), int(top)), (int(left + width), int(bottom))
            cv2.rectangle(front, first, last, (glass * 1.15, glass, glass * 0.9), cv2.FILLED)
            cv2.rectangle(front, first, last, frame, 2)
            if not is_door:
                middle = int(left + width / 2)
                cv2.line(front, (middle, first[1]), (middle, last[1]), frame, 1)
    front[:6] = front[:6] // 2
    front[184:] = (front[184:] * 0.6).astype(np.uint8)
    return front


def shop_front(rng: np.random.Generator) -> Array:
    """A front over a shop with a sign and large panes: (192, 384, 3) uint8 BGR."""
    front = house_front(rng)
    columns = 384 // int(rng.integers(1, 4))
    first = int(rng.integers(100, 140))
    for left in range(0, 384, columns):
        sign = tuple(float(x) for x in rng.uniform(15, 230, 3))
        cv2.rectangle(front, (left, first), (left + columns, 191), sign, cv2.FILLED)
        glass = rng.uniform(10, 90)
        pane = (glass * 1.1, glass, glass * rng.uniform(0.8, 1.2))
        cv2.rectangle(front, (left + 6, first + 14), (left + columns - 6, 182), pane, cv2.FILLED)
        for _ in range(int(rng.integers(0, 6))):
            u, v = int(rng.integers(left + 6, left + columns - 20)), int(rng.integers(first + 16, 165))
            goods = tuple(float(x) for x in rng.uniform(10, 200, 3))
            cv2.rectangle(
                front, (u, v), (u + int(rng.integers(4, 16)), v + int(rng.integers(4, 18))), goods, cv2.FILLED
            )
    return front


def anything(rng: np.random.Generator) -> Array:
    """Stripes, cells, blotches or rectangles in any colours: (96, 192, 3) uint8 BGR."""
    rows, columns = 96, 192
    share: Array
    first, second = rng.uniform(10, 245, (2, 3))
    if rng.random() < 0.5:  # as grey as a road
        first, second = rng.uniform(20, 220, (2, 1)) + rng.normal(0, 5, (2, 3))
    kind = int(rng.integers(4))
    across, down = np.meshgrid(np.arange(columns), np.arange(rows))
    if kind == 0:
        share = (np.sin(across * rng.uniform(0.05, 0.6) + down * rng.uniform(0, 0.6)) > rng.uniform(-0.6, 0.6)) * 1.0
    elif kind == 1:
        cells = rng.random((int(rng.integers(2, 10)), int(rng.integers(2, 16))), dtype=np.float32)
        share = cv2.resize(cells, (columns, rows), interpolation=cv2.INTER_NEAREST)
    elif kind == 2:
        share = 0.5 + 0.4 * smooth_noise(rng, (rows, columns), (int(rng.integers(2, 20)), int(rng.integers(2, 30))))
    else:
        share = np.zeros((rows, columns))
    texture = first + share[..., None] * (second - first) + rng.uniform(0, 8) * rng.standard_normal((rows, columns, 1))
    for _ in range(int(rng.integers(0, 5))):
        (left, right), (top, bottom) = np.sort(rng.integers(0, columns, 2)), np.sort(rng.integers(0, rows, 2))
        texture[top:bottom, left:right] = rng.uniform(10, 245, 3)
    return np.clip(texture, 0, 255).astype(np.uint8)


def stone_wall(rng: np.random.Generator) -> Array:
    """Courses of stones, or plain render or planks: (96, 256, 3) uint8 BGR."""
    palette = ((80, 105, 150), (110, 125, 140), (135, 140, 142), (90, 115, 135))
    colour = np.array(palette[int(rng.integers(len(palette)))], np.float32) * rng.uniform(0.7, 1.1)
    rows, columns = int(rng.integers(5, 10)), int(rng.integers(9, 20))
    stones = colour + 16 * rng.standard_normal((rows, columns, 1), dtype=np.float32)
    wall: Array = cv2.resize(stones, (256, 96), interpolation=cv2.INTER_NEAREST)
    wall += 7 * rng.standard_normal((96, 256, 1), dtype=np.float32)
    for row in range(rows):
        wall[row * 96 // rows] *= 0.65
        offset = (row % 2) * 128 // columns
        wall[row * 96 // rows : (row + 1) * 96 // rows, (np.arange(columns) * 256 // columns + offset) % 256] *= 0.7
    wall[:6] *= 1.2
    return np.clip(wall, 0, 255).astype(np.uint8)


def foliage(rng: np.random.Generator, size: tuple[int, int]) -> Array:
    """Leaves, lighter above: (H, W, 3) uint8 BGR."""
    hue = np.array((35, 85, 65), np.float32) * rng.uniform(0.65, 1.15) + rng.uniform((-10, -15, -15), (10, 15, 45))
    rows, columns = size
    texture = smooth_noise(rng, size, (rows // 16, columns // 16)) + smooth_noise(rng, size, (rows // 5, columns // 5))
    light = np.linspace(1.3, 0.65, rows, dtype=np.float32)[:, None] + 0.24 * texture
    light += 0.18 * rng.standard_normal(size, dtype=np.float32)
    return np.clip(hue * light[..., None], 0, 255).astype(np.uint8)


def crown(rng: np.random.Generator, ragged: float = 0.35) -> Array:
    """A tree's crown or a bush: (128, 128, 4) uint8 BGRA, a ragged disc of leaves."""
    size = 128
    across = np.linspace(-1, 1, size, dtype=np.float32)
    radius = np.sqrt(across[None] ** 2 + across[:, None] ** 2)
    inside = 0.78 - radius + ragged * 0.35 * fractal_noise(rng, size, (6, 14, 40))
    alpha = np.clip(inside * 14, 0, 1) * (radius < 0.99)
    return np.dstack([foliage(rng, (size, size)), (alpha * 255).astype(np.uint8)])


def bare_crown(rng: np.random.Generator) -> Array:
    """A tree's crown in winter: (128, 128, 4) uint8 BGRA, branches that fork and thin out."""
    alpha = np.zeros((128, 128), np.uint8)
    tips = [(64.0, 127.0, -np.pi / 2, 4.0)]
    for _ in range(7):
        grown = []
        for u, v, angle, thickness in tips:
            for turn in (rng.uniform(0.1, 0.6), -rng.uniform(0.1, 0.6)):
                reach = rng.uniform(11, 21) * (0.55 + 0.11 * thickness)
                end = u + reach * np.cos(angle + turn), v + reach * np.sin(angle + turn)
                cv2.line(alpha, (int(u), int(v)), (int(end[0]), int(end[1])), 255, max(int(thickness), 1), cv2.LINE_AA)
                grown.append((*end, angle + turn, thickness * 0.72))
        tips = grown
    haze = np.clip(cv2.GaussianBlur(alpha, (0, 0), 3.0) * rng.uniform(0.4, 1.2), 0, 255).astype(np.uint8)
    bark = rng.uniform(25, 75) * np.array((0.9, 1.0, 1.08))
    colour = np.clip(bark + 10 * rng.standard_normal((128, 128, 1)), 0, 255).astype(np.uint8)
    # The picture's border shall not show where branches leave it; the foot of the trunk does.
    places = np.arange(128)
    fade = np.outer(np.clip(places / 12, 0, 1), np.clip(np.minimum(places, 127 - places) / 12, 0, 1))
    return np.dstack([colour, (np.maximum(alpha, haze) * fade).astype(np.uint8)])
