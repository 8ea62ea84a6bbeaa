"""Pooling and enlarging by kernels of our own, held against torch's functions."""

from collections.abc import Iterator

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from segkit.models.resampling import resize
from segkit.speed import fast_functions
from segkit.speed.fast_functions import FastFunctions

pytest.importorskip("triton", reason="Triton comes with torch's CUDA builds alone")
LAST = torch.channels_last


@pytest.fixture(autouse=True)
def device() -> Iterator[None]:
    """The GPU where there is one; else Triton's interpreter."""
    with torch.device("cuda" if torch.cuda.is_available() else "cpu"):
        yield


@pytest.fixture
def taken(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Has the kernels used in fp32 and on the CPU too; the names of those that were used."""
    monkeypatch.setattr(fast_functions, "_applies", lambda image, *dtypes: True)
    names: list[str] = []
    kinds = (fast_functions._Pooled, fast_functions._Enlarged, fast_functions._Mean, fast_functions._CrossEntropy)
    for kind in kinds:

        def forward(ctx, *given, _kind=kind, _plain=kind.forward) -> Tensor:
            names.append(_kind.__name__)
            return _plain(ctx, *given)

        monkeypatch.setattr(kind, "forward", forward)
    return names


def same(image: Tensor, function) -> None:
    """Results and gradients."""
    image = image.contiguous(memory_format=LAST).requires_grad_()
    expected = function(image)
    with FastFunctions():
        result = function(image)
    torch.testing.assert_close(result, expected)
    into = torch.randn_like(expected)
    wanted = torch.autograd.grad(expected, image, into)
    torch.testing.assert_close(torch.autograd.grad(result, image, into), wanted, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("shape", [(2, 5, 8, 12), (1, 70, 7, 9), (3, 64, 5, 4)])
@pytest.mark.parametrize(("kernel", "stride", "padding"), [(2, 2, 0), (3, 2, 1), (3, 1, 1), (2, 1, 0), (3, 3, 0)])
def test_pooling(taken, shape, kernel, stride, padding) -> None:
    torch.manual_seed(0)
    same(torch.randn(shape), nn.MaxPool2d(kernel, stride, padding))
    assert taken == ["_Pooled"]


def test_of_equal_values_the_first_gets_the_gradient(taken) -> None:
    same(torch.zeros(1, 3, 6, 6), nn.MaxPool2d(3, 2, 1))


def test_what_is_no_number_is_the_largest(taken) -> None:
    image = torch.zeros(1, 2, 4, 4)
    image[0, 0, 1, 1] = torch.nan
    with FastFunctions():
        result = F.max_pool2d(image, 2)
    assert result.isnan().nonzero().tolist() == [[0, 0, 0, 0]]


@pytest.mark.parametrize("shape", [(2, 2, 5, 6), (1, 70, 3, 4), (1, 3, 1, 5)])
@pytest.mark.parametrize("size", [(10, 12), (20, 24), (7, 11), (5, 6)])
@pytest.mark.parametrize("mode", ["nearest", "bilinear"])
def test_enlarging(taken, shape, size, mode) -> None:
    torch.manual_seed(0)
    same(torch.randn(shape), lambda image: F.interpolate(image, size=size, mode=mode))
    assert set(taken) == {"_Enlarged"}


@pytest.mark.parametrize("mode", ["nearest", "bilinear"])
def test_enlarging_much(taken, mode) -> None:
    torch.manual_seed(0)
    same(torch.randn(2, 3, 2, 5), lambda image: F.interpolate(image, size=(13, 41), mode=mode))
    assert taken == ["_Enlarged", "_Enlarged"]  # rows, then columns
    same(torch.randn(2, 3, 1, 1), lambda image: F.interpolate(image, size=(13, 41), mode=mode))
    assert len(taken) == 2  # a single value is repeated


def test_the_map_may_be_given_by_its_name(taken) -> None:
    same(torch.randn(1, 2, 4, 6), lambda image: F.interpolate(input=image, size=(8, 12)))
    same(torch.randn(1, 2, 4, 6), lambda image: F.max_pool2d(input=image, kernel_size=2))
    assert taken == ["_Enlarged", "_Pooled"]


def test_a_map_smaller_than_a_square_is_told_of_by_torch(taken) -> None:
    with pytest.raises(RuntimeError, match="too small"), FastFunctions():
        F.max_pool2d(torch.zeros(1, 2, 1, 6), 2)


def test_means_over_whole_maps(taken) -> None:
    torch.manual_seed(0)
    same(torch.randn(2, 5, 4, 6), nn.AdaptiveAvgPool2d(1))
    assert taken == ["_Mean"]


def test_the_models_own_resizing_takes_it_too(taken) -> None:
    torch.manual_seed(0)
    same(torch.randn(2, 3, 4, 5), lambda image: resize(image, (16, 15)))
    assert taken == ["_Enlarged"]


@pytest.mark.parametrize(
    "function",
    [
        lambda image: F.interpolate(image, size=(3, 4), mode="bilinear"),  # smaller
        lambda image: F.interpolate(image, size=(12, 16), mode="bilinear", align_corners=True),
        lambda image: F.interpolate(image, size=(12, 16), mode="bicubic"),
        lambda image: F.interpolate(image, scale_factor=2.5),
        lambda image: F.max_pool2d(image, 2, dilation=2),
        lambda image: F.max_pool2d(image, (2, 3)),
        lambda image: F.max_pool2d(image, 3, 2, ceil_mode=True),
        lambda image: F.max_pool2d(image, 2, return_indices=True)[0],
        lambda image: F.adaptive_max_pool2d(image, 2),
        lambda image: F.adaptive_avg_pool2d(image, (1, 2)),
        lambda image: F.avg_pool2d(image, 2),
    ],
)
def test_all_else_is_torchs(taken, function) -> None:
    torch.manual_seed(0)
    same(torch.randn(1, 3, 6, 8), function)
    assert taken == []


def test_in_fp32_and_on_a_cpu_all_is_torchs() -> None:
    image = torch.randn(1, 3, 6, 8)
    with FastFunctions():
        assert torch.equal(F.max_pool2d(image, 2), nn.MaxPool2d(2)(image))


@pytest.mark.parametrize("memory", [LAST, torch.contiguous_format])
@pytest.mark.parametrize(("classes", "offset"), [(1, 0), (2, 1000), (11, 0), (64, -1e4)])
def test_cross_entropy(taken, classes, offset, memory) -> None:
    torch.manual_seed(0)
    logits = (offset + 30 * torch.randn(2, classes, 5, 7)).contiguous(memory_format=memory).requires_grad_()
    label = torch.randint(0, classes, (2, 5, 7))
    label[0, :2] = 255
    expected = F.cross_entropy(logits, label, ignore_index=255, reduction="none")
    with FastFunctions():
        result = F.cross_entropy(logits, label, ignore_index=255, reduction="none")
    assert taken == ["_CrossEntropy"]
    torch.testing.assert_close(result, expected)
    into = torch.randn_like(expected)
    (wanted,) = torch.autograd.grad(expected, logits, into)
    (found,) = torch.autograd.grad(result, logits, into)
    torch.testing.assert_close(found, wanted)
    assert found.stride() == logits.stride()


def test_a_class_that_there_is_not_has_no_cross_entropy(taken) -> None:
    label = torch.tensor([[[0, 1, 2, -1, 255]]])
    with FastFunctions():
        result = F.cross_entropy(torch.zeros(1, 2, 1, 5), label, ignore_index=255, reduction="none")
    assert result.isnan().tolist() == [[[False, False, True, True, False]]]


@pytest.mark.parametrize(
    "given", [{"reduction": "mean"}, {"label_smoothing": 0.1}, {"weight": torch.ones(3)}, {"target": "probabilities"}]
)
def test_other_cross_entropies_are_torchs(given, taken) -> None:
    torch.manual_seed(0)
    logits = torch.randn(2, 3, 4, 4)
    target = logits.softmax(1) if given.get("target") else torch.randint(0, 3, (2, 4, 4))
    settings = {"reduction": "none", **{k: v for k, v in given.items() if k != "target"}}
    if "weight" in settings:
        settings["weight"] = settings["weight"].to(logits.device)
    expected = F.cross_entropy(logits, target, **settings)
    with FastFunctions():
        assert torch.equal(F.cross_entropy(logits, target, **settings), expected)
    assert taken == []
