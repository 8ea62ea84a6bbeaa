"""Probabilities averaged over views of a picture, and over several networks, against means made by hand."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from segkit.data.images import resize_image
from segkit.data.picture_input import PictureInput
from segkit.data.records import SegmentationClass
from segkit.errors import UserError
from segkit.models.fcn import FCN
from segkit.models.full_size import full_size_logits
from segkit.models.trained import describe
from segkit.predict.averaging import Averaging
from segkit.predict.ensemble import Ensemble
from segkit.predict.predictor import Predictor

CPU = torch.device("cpu")
WIDE = PictureInput.of([1, 2])


def noise(height: int, width: int) -> np.ndarray:
    return np.random.default_rng(height).integers(0, 256, (height, width, 3), np.uint8)


def averaged(average: list, network: Any, picture: np.ndarray, shown: PictureInput) -> Tensor:
    """Probabilities (C, H, W) of a picture at its own size."""
    averaging = Averaging(average)
    return averaging.probabilities(network, averaging.views(picture, shown), picture.shape[:2], shown, CPU)


def checkpoint(seed: int = 0, shape: tuple[int, int] = (32, 64), names: str = "background road") -> dict[str, Any]:
    torch.manual_seed(seed)
    names = names.split()
    model = {"encoder": "mobilenet_v3_large", "fc_channels": None, "skip_scale": [1.0, 1.0]}
    state = FCN(len(names), encoder="mobilenet_v3_large", fc_channels=None, skip_scale=(1, 1)).state_dict()
    # As they are, random weights say one half of every pixel.
    state = {name: 400 * value if name.startswith("decoder") else value for name, value in state.items()}
    classes = [SegmentationClass(name, None) for name in names]
    about = describe({"_target_": "segkit.models.fcn.FCN", **model}, classes, PictureInput.of(shape))
    return {"state_dict": {f"network.{name}": value for name, value in state.items()}, "segkit": about}


def in_place(images: Tensor, left: float, right: float) -> Tensor:
    """Logits 0 and, whatever the picture, ``left`` or ``right`` in its two columns."""
    second = torch.tensor([left, right]).expand(len(images), 1, 1, 2)
    return torch.cat([torch.zeros_like(second), second], 1)


def test_a_mirrored_view_is_turned_back_and_probabilities_not_logits_are_averaged() -> None:
    # Odds 1 and 3: probabilities 1/2 and 3/4 of the view, 3/4 and 1/2 of the mirrored one turned back.
    result = averaged(["flip"], lambda images: in_place(images, 0, math.log(3)), noise(1, 2), WIDE)
    assert torch.allclose(result[1], torch.tensor([[0.625, 0.625]]))
    assert torch.allclose(result.sum(0), torch.ones(1, 2))


def test_what_a_network_says_of_left_and_right_alone_cancels() -> None:
    result = averaged(["flip"], lambda images: in_place(images, -2, 2), noise(1, 2), WIDE)
    assert torch.allclose(result, torch.full((2, 1, 2), 0.5))


def test_a_mirrored_view_is_the_view_mirrored() -> None:
    seen: list[Tensor] = []

    def network(images: Tensor) -> Tensor:
        seen.append(images.clone())
        return images[:, :2].float()

    result = averaged(["flip"], network, noise(8, 12), PictureInput.of([8, 12]))
    plain, mirrored = seen
    assert torch.equal(plain[0], torch.from_numpy(noise(8, 12)).permute(2, 0, 1))
    assert torch.equal(mirrored, plain.flip(-1))
    # A network that looks at each pixel alone says the same of both.
    assert torch.allclose(result, plain[0, :2].float().softmax(0))


def by_width(odds: dict[int, float]) -> Any:
    """A network whose odds of class 1 depend on the width of what it is shown."""

    def network(images: Tensor) -> Tensor:
        second = torch.full((len(images), 1, *images.shape[2:]), math.log(odds[images.shape[3]]))
        return torch.cat([torch.zeros_like(second), second], 1)

    return network


def test_every_scale_counts_the_same_and_1_is_always_there() -> None:
    network = by_width({33: 1, 25: 3, 41: 9})
    shown = PictureInput.of([21, 33], window="whole")
    result = averaged([0.75, 1.25], network, noise(37, 53), shown)
    assert result.shape == (2, 37, 53)
    assert torch.allclose(result[1], torch.full((37, 53), (0.5 + 0.75 + 0.9) / 3))
    assert torch.allclose(averaged(["flip", 0.75, 1.25], network, noise(37, 53), shown), result)
    assert torch.allclose(averaged([0.75], network, noise(37, 53), shown)[1], torch.full((37, 53), 0.625))


def shapes(average: list, shown: PictureInput, size: tuple[int, int] = (37, 53)) -> list[tuple[int, ...]]:
    seen: list[tuple[int, ...]] = []

    def network(images: Tensor) -> Tensor:
        seen.append(tuple(images.shape))
        return images[:, :2].float()

    assert averaged(average, network, noise(*size), shown).shape == (2, *size)
    return seen


def test_scales_are_of_the_networks_input_and_sizes_may_be_odd() -> None:
    whole = PictureInput.of([21, 33], window="whole")
    assert shapes([0.75, 1.25], whole) == [(1, 3, 21, 33), (1, 3, 16, 25), (1, 3, 26, 41)]
    half = PictureInput.of([21, 33], 0.5, "whole")  # 18 × 26 of 37 × 53
    assert shapes([0.5, 2], half) == [(1, 3, 18, 26), (1, 3, 9, 13), (1, 3, 36, 52)]
    assert shapes(["flip"], whole, (1, 1)) == [(1, 3, 21, 33)] * 2


def test_larger_views_go_through_the_window_so_that_memory_is_bounded() -> None:
    seen = shapes([4], PictureInput.of([21, 33]))
    assert {shape[1:] for shape in seen} == {(3, 21, 33)}
    assert max(shape[0] for shape in seen) == 8
    assert sum(shape[0] for shape in seen) > 16  # of 84 × 132


def test_smaller_views_are_not_padded_to_the_window() -> None:
    assert shapes([0.75], PictureInput.of([21, 33])) == [(1, 3, 21, 33), (1, 3, 16, 25)]
    crops = PictureInput.of([20, 64], None)  # of a picture 40 × 60
    assert shapes([0.75], crops, (40, 60)) == [(3, 3, 20, 64), (2, 3, 20, 45)]


@pytest.mark.parametrize("size", [(37, 53), (21, 90)])
@pytest.mark.parametrize("resize", ["image_shape", None])
def test_without_averaging_probabilities_are_the_networks_own_to_the_bit(size: tuple, resize: Any) -> None:
    content, picture = checkpoint(), noise(*size)
    shown = PictureInput.of([32, 64], resize)
    predictor = Predictor(content, picture_input=shown)
    image = torch.from_numpy(resize_image(picture, shown.shape_of(size))).permute(2, 0, 1)[None]
    with torch.inference_mode():
        [logits] = full_size_logits(predictor.network, image, [size], shown)
    expected = logits.softmax(0)
    assert torch.equal(predictor.probabilities(picture), expected)
    assert torch.equal(Ensemble({"a": predictor}).probabilities(picture), expected)


def test_a_trained_networks_views_are_averaged_as_by_hand() -> None:
    content, picture = checkpoint(), noise(50, 91)
    plain = Predictor(content, picture_input=PictureInput.of([32, 64], window="whole"))
    total = torch.zeros(2, 50, 91)
    for height, width in ((32, 64), (24, 48), (48, 96)):
        image = torch.from_numpy(resize_image(picture, (height, width))).permute(2, 0, 1)[None]
        with torch.inference_mode():
            for view in (image, image.flip(3)):
                logits = torch.nn.functional.interpolate(plain.network(view), (50, 91), mode="bilinear")[0].softmax(0)
                total += logits.flip(2) if view is not image else logits
    predictor = Predictor(content, picture_input=plain.picture_input, average=["flip", 0.75, 1.5])
    result = predictor.probabilities(picture)
    assert torch.allclose(result, total / 6, atol=1e-5)
    assert float((result - plain.probabilities(picture)).abs().max()) > 0.05
    classes, confidence = predictor.predict(picture)
    assert np.array_equal(classes, result.argmax(0).numpy())
    assert np.array_equal(confidence, (result[1] * 255).round().byte().numpy())


def test_the_mean_is_that_of_views_made_by_hand_to_the_bit() -> None:
    content, picture, size = checkpoint(), noise(50, 91), (50, 91)
    shown = PictureInput.of([32, 64], window="whole")
    predictor = Predictor(content, picture_input=shown, average=["flip", 0.75, 1.5])
    total = torch.zeros(2, *size)
    with torch.inference_mode():
        for height, width in ((32, 64), (24, 48), (48, 96)):
            view = torch.from_numpy(resize_image(picture, (height, width))).permute(2, 0, 1)[None]
            total += full_size_logits(predictor.network, view, [size], shown)[0].softmax(0)
            total += full_size_logits(predictor.network, view.flip(3), [size], shown)[0].softmax(0).flip(2)
    assert torch.equal(predictor.probabilities(picture), total / 6)


def test_several_networks_each_see_pictures_at_their_own_size() -> None:
    members = {
        "a": Predictor(checkpoint(0, (32, 64)), average=["flip", 0.5]),
        "b": Predictor(checkpoint(1, (64, 96)), average=["flip", 0.5]),
        "c": Predictor(checkpoint(2, (32, 64)), average=["flip", 0.5]),
    }
    picture = noise(41, 67)
    ensemble = Ensemble(members)
    sizes = [view.shape[:2] for view in ensemble.views(picture)]
    assert sizes == [(32, 64), (16, 32), (64, 96), (32, 48), (32, 64), (16, 32)]
    own = [member.probabilities(picture) for member in members.values()]
    assert torch.allclose(ensemble.probabilities(picture), (own[0] + own[1] + own[2]) / 3, atol=1e-6)
    assert [item.name for item in ensemble.class_list] == ["background", "road"]


def test_networks_of_different_classes_are_refused() -> None:
    members = {"a": Predictor(checkpoint()), "b": Predictor(checkpoint()), "c": Predictor(checkpoint(names="sky car"))}
    with pytest.raises(UserError, match=r"^checkpoint: a and c cannot be averaged, .* background, road and sky, car$"):
        Ensemble(members)


@pytest.mark.parametrize(
    "average",
    [["flop"], [0], [20], [0.2], [-1], [1], [1.0], ["flip", "flip"], [1.5, 1.5], [2, 2.0], [True], [None], [math.nan]],
)
def test_other_views_are_refused(average: list) -> None:
    with pytest.raises(UserError, match=r"^average=\[.*\]: should be a list of flip and scales from 0\.25 to 4, "):
        Averaging(average)


def test_segkit_load_takes_the_views(tmp_path: Path) -> None:
    import segkit

    torch.save(checkpoint(), tmp_path / "a.ckpt")
    picture = noise(40, 60)
    loaded = segkit.load(tmp_path / "a.ckpt", average=["flip"])
    expected = Predictor(checkpoint(), average=["flip"]).probabilities(picture)
    assert torch.equal(loaded.probabilities(picture), expected)
