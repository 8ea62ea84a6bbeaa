"""Labels of every object: they agree with the road's, with what is painted and where, and cost no picture a bit."""

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from torchvision.datasets import Cityscapes

from segkit.road.layout import CATEGORIES
from segkit.scenes.classes import ObjectId
from segkit.scenes.drives import locate
from segkit.scenes.generate import generate_scenes
from segkit.scenes.labels import Extra
from segkit.scenes.layout import View
from segkit.scenes.look import Looks
from segkit.scenes.objects import Kind, Thing
from segkit.scenes.render import Picture, render
from tests.scenes.test_scenes import drawn_at, straight_view
from tests.scenes.test_varied import sun, with_look

EVERY: tuple[Extra, ...] = ("semantic", "instance", "depth")
BOTH = pytest.mark.parametrize(("looks", "number"), [*(("kitti", n) for n in (0, 5)), *(("varied", n) for n in (1, 9))])
SIZES: dict[Kind, tuple[float, float, float]] = {
    "house": (10.0, 6.0, 7.0),
    "wall": (6.0, 0.4, 2.0),
    "hedge": (6.0, 1.5, 1.5),
    "tree": (0.5, 4.0, 7.0),
    "bush": (0.5, 3.0, 2.0),
    "pole": (0.2, 0.2, 7.0),
    "sign": (0.1, 0.7, 2.6),
    "car": (4.3, 1.75, 1.5),
    "person": (0.4, 0.6, 1.8),
    "cyclist": (0.4, 0.6, 1.8),
    "box": (2.0, 1.0, 1.5),
    "post": (0.12, 0.12, 1.0),
    "lorry": (8.0, 2.4, 3.5),
    "side": (1.8, 4.0, 1.6),
}
"""Length, width and height in metres."""


def put(kind: Kind, s: float, d: float = 1.0, style: int = 4) -> Thing:
    length, width, height = SIZES[kind]
    return Thing(kind, s, d, length, width, height, style)


def names(ids: np.ndarray) -> set[str]:
    return {ObjectId(int(value)).name.lower() for value in np.unique(ids)}


@BOTH
@pytest.mark.parametrize("category", CATEGORIES)
def test_labels_change_no_picture_and_agree_with_the_roads(looks: Looks, number: int, category: str) -> None:
    view = locate(5, "training", category, number, looks)  # type: ignore[arg-type]
    plain, classes, full = render(view), render(view, ["semantic"]), render(view, EVERY)
    for part in ("image", "road", "lane", "hidden"):
        np.testing.assert_array_equal(getattr(plain, part), getattr(classes, part))
        np.testing.assert_array_equal(getattr(plain, part), getattr(full, part))
    assert (plain.also, list(classes.also), list(full.also)) == ({}, ["semantic"], [*EVERY])
    semantic = full.also["semantic"]
    np.testing.assert_array_equal(classes.also["semantic"], semantic)
    np.testing.assert_array_equal(full.also["instance"] // 256, semantic)
    # Where the ground is seen, roads are those of the road's label; its areas that are not scored are other roads.
    assert ((semantic == ObjectId.ROAD) <= ~plain.hidden).all()
    np.testing.assert_array_equal(semantic[~plain.hidden] == ObjectId.ROAD, plain.road[~plain.hidden] > 0)
    assert semantic.min() > 0
    no_depth = np.isin(semantic, (ObjectId.SKY, ObjectId.EGO_VEHICLE))
    np.testing.assert_array_equal(full.also["depth"] == 0, no_depth)


def test_ids_are_those_of_cityscapes() -> None:
    table = {known.name: known.id for known in Cityscapes.classes}
    for label in ObjectId:
        assert table[label.name.lower().replace("_", " ")] == label


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("house", {"building"}),
        ("wall", {"wall"}),
        ("hedge", {"vegetation"}),
        ("tree", {"vegetation"}),
        ("bush", {"vegetation"}),
        ("pole", {"pole"}),
        ("sign", {"pole", "traffic_sign"}),
        ("car", {"car"}),
        ("person", {"person"}),
        ("cyclist", {"rider", "bicycle"}),
        ("box", {"static"}),
        ("post", {"pole"}),
        ("lorry", {"truck"}),
        ("side", {"car"}),
    ],
)
def test_a_thing_has_its_class_in_all_its_parts_and_its_shadow_has_none(kind: Kind, expected: set[str]) -> None:
    free = with_look(straight_view(), tinted=True)  # a stock of textures that holds those of boxes
    free = replace(free, drive=replace(free.drive, light=sun(free.drive.light)))
    full = replace(free, drive=replace(free.drive, things=(put(kind, free.s + 12.0),)))
    before, after = render(free, ["semantic"]), render(full, ["semantic"])
    changed = before.also["semantic"] != after.also["semantic"]
    assert names(after.also["semantic"][changed]) == expected
    # Windows, lamps and wheels leave no holes: what hides the ground is all of these classes.
    newly_hidden = after.hidden & ~before.hidden
    assert changed[newly_hidden].all()
    assert newly_hidden.sum() > 20
    shadow = ~after.hidden & (before.image.astype(int).sum(-1) - after.image.sum(-1) > 60)
    assert not changed[shadow].any()
    if kind == "tree":  # the sky is seen between its leaves
        crown = np.argwhere(changed & (before.also["semantic"] == ObjectId.SKY))
        (top, left), (bottom, right) = crown.min(0), crown.max(0)
        assert (after.also["semantic"][top:bottom, left:right] == ObjectId.SKY).mean() > 0.1


@pytest.mark.parametrize(
    ("mark", "value"), [("crossing", 1.0), ("arrows", 1.0), ("patches", 1.0), ("cracks", 1.0), ("box", 1.0)]
)
def test_what_is_painted_on_a_road_is_road(mark: str, value: float) -> None:
    view = straight_view()
    marked = with_look(view, marks=replace(view.drive.look.marks, **{mark: value}))
    np.testing.assert_array_equal(
        render(view, ["semantic"]).also["semantic"], render(marked, ["semantic"]).also["semantic"]
    )


def test_strips_beside_the_road_have_the_class_of_their_material() -> None:
    expected = {
        "pavement": "sidewalk", "bicycle": "sidewalk", "grass": "terrain", "yard": "terrain",
        "parking": "parking", "tram": "rail_track", "opposite": "road", "asphalt": "road",
    }  # fmt: skip
    checked = set()
    for number in range(21):
        view = locate(4, "training", CATEGORIES[number % 3], number // 3 * 5)
        view = replace(view, drive=replace(view.drive, things=(), side_roads=()))
        picture = render(view, ["semantic"])
        for strip in view.drive.section.strips:
            d, z = np.array([(strip.left + strip.right) / 2]), np.array([24.0])
            if strip.material == "yard":
                d = np.array([strip.left + 2.0 if strip.left > 0 else strip.right - 2.0])
            u, v = drawn_at(view.calibration, d + view.centre(z), z)[0].round().astype(int)
            if strip.material in expected and 0 <= u < picture.road.shape[1] and strip.right - strip.left > 0.5:
                assert names(picture.also["semantic"][v, u]) == {expected[strip.material]}
                checked.add(strip.material)
    assert checked == set(expected)


def test_across_the_end_of_a_road_lie_kerb_pavement_and_grass() -> None:
    free = straight_view()
    view = replace(free, drive=replace(free.drive, ends=free.s + 15.0, side_roads=()))
    z = np.array([14.0, 16.5, 25.0])
    places = drawn_at(view.calibration, view.centre(z), z).round().astype(int)
    semantic = render(view, ["semantic"]).also["semantic"]
    assert [ObjectId(semantic[v, u]).name for u, v in places] == ["ROAD", "SIDEWALK", "TERRAIN"]


def test_the_own_bonnet_is_the_ego_vehicle() -> None:
    picture = render(with_look(straight_view(), bonnet=0.1), EVERY)
    assert names(picture.also["semantic"][-4:, 500:700]) == {"ego_vehicle"}
    assert not picture.also["depth"][-4:, 500:700].any()


def test_things_are_counted_in_their_class() -> None:
    base = straight_view()
    things = (
        put("car", base.s + 10.0, -2.5), put("car", base.s + 18.0, 2.5), put("person", base.s + 12.0, -0.7),
        put("cyclist", base.s + 9.0, 0.3), put("tree", base.s + 20.0, 6.0), put("car", base.s + 60.0, 400.0),
    )  # fmt: skip
    instance = render(straight_view(*things), EVERY).also["instance"]
    found = {(ObjectId(int(value) // 256).name, int(value) % 256) for value in np.unique(instance)}
    counted = {pair for pair in found if pair[1]}
    assert counted == {("CAR", 1), ("CAR", 2), ("PERSON", 1), ("RIDER", 1), ("BICYCLE", 1)}
    assert {"ROAD", "SKY", "VEGETATION"} <= {name for name, number in found if number == 0}
    # A thing is one piece: the two cars are apart.
    for number in (1, 2):
        columns = np.flatnonzero((instance == ObjectId.CAR * 256 + number).any(0))
        assert np.diff(columns).max() == 1


def seen_at(view: View, d: float, s: float, h: float) -> tuple[float, float, float]:
    """Column, row and depth in metres of a point, worked out from the calibration's matrices."""
    z = s - view.s
    x = d + float(view.centre(np.array(z)))
    u, v, w = view.calibration.projection() @ (x, -h, z, 1.0)
    return u / w, v / w, w


def depth_at(picture: Picture, u: float, v: float) -> float:
    return picture.also["depth"][round(v), round(u)] / 256


def test_depth_by_hand() -> None:
    base = straight_view()
    right, pavement = 3.5, 0.3
    wall = Thing("house", base.s + 10.0, right, 30.0, 8.0, 5.0, 0)
    lorry = Thing("lorry", base.s + 14.0, -2.0, 6.0, 2.4, 3.0, 3)
    view = with_look(straight_view(wall, lorry), tinted=True)
    picture = render(view, ["depth"])
    points = [(right, view.s + ahead, 2.0) for ahead in (11.0, 15.0, 22.0, 33.0)]  # along the wall
    points += [(-2.0 + across, view.s + 14.0, 1.5) for across in (-0.9, 0.0, 0.9)]  # the lorry's end
    points += [(pavement, view.s + ahead, 0.0) for ahead in (7.0, 12.0, 30.0, 70.0)]  # the road
    for point in points:
        u, v, expected = seen_at(view, *point)
        # A pixel of the wall or the road covers some of its way.
        assert depth_at(picture, u, v) == pytest.approx(expected, rel=0.03, abs=0.02), point
    assert not picture.also["depth"][:5, :600].any()


@pytest.mark.parametrize("looks", ["kitti", "varied"])
def test_files_are_kittis_and_everything_else_stays_the_same(tmp_path: Path, looks: Looks) -> None:
    generate_scenes(tmp_path / "plain", (4, 1), seed=5, looks=looks, workers=1)
    generate_scenes(tmp_path / "full", (4, 1), seed=5, looks=looks, also=EVERY, workers=1)
    plain, full = (
        {str(path.relative_to(root)): path for path in root.rglob("*") if path.is_file()}
        for root in (tmp_path / "plain", tmp_path / "full")
    )
    for name, path in plain.items():
        assert full[name].read_bytes() == path.read_bytes()
    pictures = sorted(path.name for path in (tmp_path / "full/training/image_2").iterdir())
    assert set(full) - set(plain) == {f"training/{folder}/{name}" for folder in EVERY for name in pictures}
    for name in pictures:
        training = tmp_path / "full" / "training"
        semantic, instance, depth = (cv2.imread(str(training / x / name), cv2.IMREAD_UNCHANGED) for x in EVERY)
        assert (semantic.dtype, instance.dtype, depth.dtype) == (np.uint8, np.uint16, np.uint16)
        assert semantic.shape == instance.shape == depth.shape == cv2.imread(str(training / "image_2" / name)).shape[:2]
        np.testing.assert_array_equal(instance // 256, semantic)
        assert {"road", "sky"} <= names(semantic)
        assert 4 * 256 < np.median(depth[depth > 0]) < 131 * 256


def test_labels_that_are_asked_for_twice_are_written_once(tmp_path: Path) -> None:
    generate_scenes(tmp_path, (1, 0), also=["semantic", "semantic"], workers=1)
    assert len(list(tmp_path.glob("training/semantic/*.png"))) == 1
