"""Varied scenes: everything that may vary does, and each thing that was added is drawn and labelled as it should."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from segkit.road.layout import CATEGORIES
from segkit.scenes.camera import RIGS, make_calibration
from segkit.scenes.drives import locate
from segkit.scenes.effects import record
from segkit.scenes.layout import NEAREST, Light, View
from segkit.scenes.look import Lens, Marks
from segkit.scenes.objects import SideRoad, Thing
from segkit.scenes.points import ground_points
from segkit.scenes.render import render
from tests.scenes.test_scenes import drawn_at, straight_view

BARE = Marks(patches=0.0, cracks=0.0, arrows=0.0, crossing=0.0)
VIEWS = [locate(0, "training", category, number, "varied") for category in CATEGORIES for number in range(40)]


def with_look(view: View, **changes: object) -> View:
    return replace(view, drive=replace(view.drive, look=replace(view.drive.look, **changes)))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "seen",
    [
        lambda view: view.drive.look.wet > 0,
        lambda view: view.drive.look.bonnet > 0,
        lambda view: view.drive.look.casts > 0,
        lambda view: len(view.drive.look.edge_lines) == 2,
        lambda view: view.drive.look.lens.quality > 0,
        lambda view: view.drive.look.lens.vignette > 0,
        lambda view: view.drive.look.lens.glare > 0,
        lambda view: view.drive.light.ground < 0.4,
        lambda view: view.drive.light.things < 0.4,
        lambda view: not view.drive.light.sunny,
        lambda view: np.isfinite(view.drive.ends),
        lambda view: len(view.drive.side_roads) > 1,
        lambda view: not view.drive.line.lengths,
        lambda view: abs(view.yaw) > 0.2,
        lambda view: any(thing.kind == "lorry" and thing.length > 5 for thing in view.drive.things),
        lambda view: any(thing.kind == "person" for thing in view.drive.things),
        lambda view: view.drive.section.road[1] - view.drive.section.road[0] > 14,
        lambda view: view.drive.rig.width < 1.5 * view.drive.rig.height,
        lambda view: view.drive.rig.width > 3 * view.drive.rig.height,
        lambda view: view.drive.rig.focal < view.drive.rig.height,
        lambda view: -view.calibration.matrices["Tr_cam_to_road"][1, 3] > 2.0,
    ],
)
def test_everything_appears_somewhere_and_is_missing_elsewhere(seen: Callable[[View], bool]) -> None:
    count = sum(map(seen, VIEWS))
    assert 0 < count < len(VIEWS)


def test_roads_go_from_nearly_black_to_nearly_white() -> None:
    greys = []
    for view in VIEWS[::3]:
        picture = render(view)
        greys.append(picture.image[picture.road == 1].mean())
    assert min(greys) < 40
    assert max(greys) > 180


@pytest.mark.parametrize("view", VIEWS[::8])
def test_all_ground_in_the_picture_is_painted_and_labels_are_values_of_labels(view: View) -> None:
    ground = ground_points(view)
    assert not (ground.beyond & (ground.z < NEAREST)).any()
    assert not ground.beyond[-1].any()
    picture = render(view)
    assert set(np.unique(picture.road)) <= {0, 1}
    assert (picture.road == 1).mean() > 0.01
    assert not picture.road[picture.hidden].any()


def test_side_roads_and_crossings_are_road_where_every_road_counts() -> None:
    usual = straight_view()
    right = usual.drive.section.road[1]
    side_road = SideRoad(1, 10.0, 18.0, corner=3.0)
    drive = replace(usual.drive, side_roads=(side_road,))
    # In the middle of the side road, in its rounded corner, and outside of the corner's circle.
    d, s = np.array([right + 6, right + 0.1, right + 2.9]), np.array([14.0, 8.0, 8.0])
    assert drive.surface(d, s)[2].tolist() == [True, True, False]
    every = replace(drive, look=replace(drive.look, every_road=True))
    road, _, unscored = every.surface(d, s)
    assert road.tolist() == [True, True, False]
    assert not unscored.any()


def test_a_road_that_ends_is_no_road_beyond() -> None:
    free = straight_view()
    closed = replace(free, drive=replace(free.drive, ends=free.s + 20.0))
    z = np.array([15.0, 25.0])
    (near, far) = drawn_at(free.calibration, free.centre(z), z).round().astype(int)
    before, after = render(free), render(closed)
    assert before.road[far[1], far[0]] == 1
    assert after.road[far[1], far[0]] == 0
    assert after.road[near[1], near[0]] == 1
    assert (before.image[far[1], far[0]] != after.image[far[1], far[0]]).any()


def test_a_bonnet_hides_the_lowest_part_of_the_picture() -> None:
    view = straight_view()
    free, hidden = render(view), render(with_look(view, bonnet=0.1))
    height = free.road.shape[0]
    assert (free.road[-5:] == 1).any()
    assert not hidden.road[-5:].any()
    np.testing.assert_array_equal(hidden.road[: int(0.85 * height)], free.road[: int(0.85 * height)])


def test_wet_ground_mirrors_what_stands_on_it_and_keeps_its_label() -> None:
    post = Thing("box", 22.0, 0.5, 1.0, 2.0, 3.0, 5)
    view = with_look(straight_view(post), tinted=True)
    dry, wet = render(view), render(with_look(view, wet=0.6))
    np.testing.assert_array_equal(dry.road, wet.road)
    changed = np.abs(dry.image.astype(int) - wet.image).max(-1) > 12
    assert changed[~dry.hidden].mean() > 0.2
    foot = drawn_at(view.calibration, np.array([0.5]), np.array([22.0]))[0].astype(int)
    assert not changed[foot[1] - 10, foot[0]]  # what stands there stays as it is


def test_shadows_of_things_that_are_not_seen_darken_the_ground_alone() -> None:
    view = straight_view()
    sunny = replace(view, drive=replace(view.drive, light=sun(view.drive.light)))
    clear, cast = render(sunny), render(with_look(sunny, casts=5))
    darker = clear.image.astype(int).sum(-1) - cast.image.sum(-1) > 40
    assert darker[~clear.hidden].mean() > 0.01
    assert darker[: clear.road.shape[0] // 4].mean() < 0.001
    np.testing.assert_array_equal(clear.road, cast.road)


def sun(light: Light) -> Light:
    return replace(light, sunny=True, shade=(0.4, 0.4, 0.4))


def test_at_dusk_the_ground_is_dark_and_the_sky_is_not() -> None:
    view = straight_view()
    dusk = replace(view, drive=replace(view.drive, light=replace(view.drive.light, ground=0.25, things=0.25)))
    day, evening = render(view), render(dusk)
    road = day.road == 1
    assert evening.image[road].mean() < 0.5 * day.image[road].mean()
    np.testing.assert_allclose(evening.image[:20].mean(), day.image[:20].mean(), atol=2)


def test_yellow_lines_run_along_the_edges() -> None:
    view = straight_view()
    plain, lined = render(view), render(with_look(view, edge_lines=(0.4,)))
    z = np.array([9.0])
    u, v = drawn_at(view.calibration, view.drive.section.road[1] - 0.4 + view.centre(z), z)[0].round().astype(int)
    before, after = plain.image[v, u - 1 : u + 2].mean(0), lined.image[v, u - 1 : u + 2].mean(0)
    assert after[0] - after[2] > before[0] - before[2] + 20  # red over blue


def test_a_lens_as_it_should_be() -> None:
    grey = np.full((60, 80, 3), 64, np.uint8)
    np.testing.assert_array_equal(record(grey, Lens()), grey)
    assert record(grey, Lens(gamma=0.5))[0, 0].tolist() == [128, 128, 128]  # √(64/255)·255 = 127.7
    assert record(grey, Lens(glare=0.5))[0, 0].tolist() == [160, 160, 160]  # half of white, half of 64
    dimmed = record(grey, Lens(vignette=0.5))
    assert dimmed[30, 40, 0] >= 63
    assert dimmed[0, 0, 0] == 32
    noisy = np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)
    assert record(noisy, Lens(blur=1.0)).std() < 0.5 * noisy.std()
    assert (record(noisy, Lens(quality=30)) != noisy).mean() > 0.5


def test_a_camera_at_the_road_of_another_rig_sees_the_same_points() -> None:
    """The calibration is true for any rig: twice the picture, twice the pixels."""
    double = RIGS[0]._replace(focal=2 * RIGS[0].focal, centre_x=2 * RIGS[0].centre_x, centre_y=2 * RIGS[0].centre_y)
    x, z = np.array([-3.0, 0.0, 4.0]), np.array([8.0, 20.0, 50.0])
    once, twice = (drawn_at(make_calibration(rig, 1.7, 0.05, 0.02), x, z) for rig in (RIGS[0], double))
    np.testing.assert_allclose(twice, 2 * once, atol=0.5)


@pytest.mark.parametrize("mark", ["stop_line", "box", "signs", "crossing", "arrows"])
def test_marks_are_painted_on_the_road_and_change_no_label(mark: str) -> None:
    view = straight_view()
    bare, marked = (render(with_look(view, marks=replace(BARE, **{mark: chance}))) for chance in (0.0, 1.0))
    np.testing.assert_array_equal(bare.road, marked.road)
    brighter = marked.image.astype(int).mean(-1) - bare.image.mean(-1) > 25
    assert brighter[bare.road == 1].sum() > 20
    assert not brighter[bare.hidden].any()


@pytest.mark.parametrize("mark", ["patches", "cracks", "stains", "resurfaced"])
def test_worn_roads_change_their_tone_and_no_label(mark: str) -> None:
    view = straight_view()
    even, worn = (render(with_look(view, marks=replace(BARE, **{mark: chance}))) for chance in (0.0, 1.0))
    np.testing.assert_array_equal(even.road, worn.road)
    changed = np.abs(worn.image.astype(int).mean(-1) - even.image.mean(-1)) > 5
    assert changed[even.road == 1].mean() > 0.003
