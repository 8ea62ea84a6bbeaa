"""Legends: cells that do not move, names and numbers in them."""

import numpy as np

from segkit.data.legend import UNSCORED, Entry, Legend, strike_out, strip, text_width, write

ENTRIES = [Entry(name, (200, 10 * number, 0), "12.3 %") for number, name in enumerate(["road", "traffic light", "sky"])]


def cells(canvas: np.ndarray) -> list[tuple[int, int]]:
    """The upper left pixels of the patches of ``ENTRIES``."""
    return [tuple(np.argwhere((canvas == entry.colour).all(-1))[0].tolist()) for entry in ENTRIES]


def test_entries_fill_rows_below_a_picture_and_columns_beside_it() -> None:
    below, beside = Legend.below(ENTRIES, 400, 12), Legend.beside(ENTRIES, 40, 12)
    assert (below.rows, below.columns) == (2, 2)
    assert (beside.rows, beside.columns) == (2, 2)
    assert below.size == beside.size == (36, 2 * below.cell)
    first = (4, 4)
    assert cells(below.draw(ENTRIES, (36, 400))) == [first, (4, 4 + below.cell), (22, 4)]
    assert cells(beside.draw(ENTRIES, (40, 400))) == [first, (22, 4), (4, 4 + below.cell)]
    assert (Legend.below(ENTRIES, 20, 12).columns, Legend.beside(ENTRIES, 5, 12).rows) == (1, 1)


def test_a_cell_has_room_for_the_longest_name_and_number() -> None:
    for letters in (12, 20, 34):
        page = strip(ENTRIES, 5000, letters)
        dark = (page.max(-1) < 80).any(0)
        cell = Legend.below(ENTRIES, 5000, letters).cell
        assert not dark[2 * cell - letters // 3 : 2 * cell].any()  # behind the traffic light's number
        assert text_width("traffic light", letters) + text_width("12.3 %", letters) < cell


def test_names_are_written_as_they_are() -> None:
    def written(text: str) -> np.ndarray:
        canvas = np.full((30, 200, 3), 255, np.uint8)
        write(canvas, text, (0, 0), 20)
        return canvas

    names = ["Straße", "Strasse", "дорога", "árbol", "arbol"]
    assert len({written(name).tobytes() for name in names}) == len(names)
    assert all(written(name).min() < 60 for name in names)
    assert (written("") == 255).all()
    assert (written("a name that is longer than the picture")[:, :190] < 128).any()


def test_what_is_not_scored_is_striped() -> None:
    picture = np.full((24, 24, 3), 7, np.uint8)
    where = np.zeros((24, 24), bool)
    where[:, 12:] = True
    strike_out(picture, where)
    assert (picture[:, :12] == 7).all()
    assert [tuple(pixel) for pixel in picture[0, 12:].tolist()] == [UNSCORED[0]] * 6 + [UNSCORED[1]] * 6
    assert [tuple(pixel) for pixel in picture[:12, 12].tolist()] == [UNSCORED[0]] * 6 + [UNSCORED[1]] * 6
    page = strip([Entry("not scored", None)], 200, 16)
    assert set(UNSCORED) <= {tuple(pixel) for pixel in page.reshape(-1, 3).tolist()}
