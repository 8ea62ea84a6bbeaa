"""A convolution without its bias, by whichever way is the fastest on a GPU; what follows adds the bias."""

from torch import Tensor, nn

from segkit.speed import beside, fused_ops
from segkit.speed.conv_as_matmul import conv_as_matmul, input_gradient, weight_gradient

WIDE = 5
"""Width of a kernel from which a convolution over a small map is worth taking as matrix products."""
SMALL = 4
"""A map is small that is at most so many kernels high: the windows that are laid out hold it as often as the kernel is
wide, and the fewer of them lie at its edge, the less there is to gain."""


def convolve(image: Tensor, conv: nn.Conv2d) -> Tensor:
    """(B, C, H, W) to (B, O, H', W'), in the dtype that the layer computes in."""
    image = image.to(fused_ops.compute_dtype(image, conv))
    if is_wide(conv) and image.shape[-2] <= SMALL * conv.kernel_size[0]:
        taking = beside.in_force(conv.weight)
        if taking is not None:
            return beside.computed(taking, AS_MATMUL, image, conv.weight)
        return conv_as_matmul(image, conv.weight.to(image.dtype))
    return conv._conv_forward(image, conv.weight, None)


AS_MATMUL = beside.Way(
    conv_as_matmul,
    lambda gradient, image, weight: input_gradient(gradient, weight),
    lambda gradient, image, weight: weight_gradient(gradient, image, weight.shape[-1]),
)


def is_wide(conv: nn.Conv2d) -> bool:
    """Whether it is one that `conv_as_matmul` can compute, and has a kernel worth it."""
    height, width = conv.kernel_size
    same = conv.padding in ("same", (height // 2, height // 2))
    plain = conv.stride == conv.dilation == (1, 1) and conv.groups == 1 and conv.padding_mode == "zeros"
    return height == width and height % 2 == 1 and height >= WIDE and same and plain
