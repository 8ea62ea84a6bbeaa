import pytest
import torch
from torch.nn import functional as F

from segkit.models.resampling import bilinear_matrix, by_matrices, pool, resize


@pytest.mark.parametrize("size", [(14, 18), (13, 40), (7, 9), (3, 2), (56, 72), (1, 1)])
def test_the_matrices_interpolate_as_torch_does_and_so_do_their_gradients(size) -> None:
    torch.manual_seed(0)
    image = torch.randn(2, 3, 7, 9, dtype=torch.float64, requires_grad=True)
    matrices = (bilinear_matrix(source, target, image) for source, target in zip(image.shape[-2:], size, strict=True))
    result, expected = by_matrices(image, *matrices), F.interpolate(image, size=size, mode="bilinear")
    torch.testing.assert_close(result, expected, rtol=1e-5, atol=1e-5)
    into = torch.randn_like(expected)
    mine, its = (torch.autograd.grad(r, image, into)[0] for r in (result, expected))
    torch.testing.assert_close(mine, its, rtol=1e-5, atol=1e-5)


def test_resizing_to_the_same_size_does_nothing() -> None:
    image = torch.randn(1, 2, 5, 4)
    assert resize(image, (5, 4)) is image


@pytest.mark.parametrize("bins", [1, 2, 3, 6])
@pytest.mark.parametrize("shape", [(12, 18), (7, 10), (2, 3)])
def test_pooling_is_torchs_adaptive_mean(bins, shape) -> None:
    image = torch.randn(2, 3, *shape, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(pool(image, bins), F.adaptive_avg_pool2d(image, bins))


def test_maps_with_channels_last_stay_so() -> None:
    image = torch.randn(2, 8, 6, 4).contiguous(memory_format=torch.channels_last)
    assert pool(image, 3).is_contiguous(memory_format=torch.channels_last)
