"""Compiles each of our kernels for a Hopper GPU, which takes a compiler and no GPU.

Run as a process of its own: in the tests' own, where there is no GPU, kernels are the interpreter's.
"""

import itertools
from collections.abc import Iterator
from typing import Any

import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from segkit.speed import (
    conv_as_matmul,  # noqa: F401 - its kernel is triton_kernels'
    triton_adam,
    triton_first_layer,
    triton_kernels,
    triton_loss,
    triton_maps,
    triton_norm,
    triton_small_norm,
)

HOPPER = GPUTarget("cuda", 90, 32)
MAP, SUM, COUNT, NUMBER = "*bf16", "*fp32", "*i64", "fp32"
MAPS = ("values", "result", "added", "gradient", "other", "image", "before", "windows", "half")
TYPES = dict.fromkeys(MAPS, MAP) | {"which": "*u8", "batches": COUNT} | dict.fromkeys(("momentum", "eps"), NUMBER)
TYPES |= dict.fromkeys(("scale_y", "scale_x", "beta2", "new1", "new2", "decay"), NUMBER)
OF_CHANNELS = ("bias", "scale", "shift", "mean", "deviation", "factors", "sums", "partial", "found", "offset", "weight")
TYPES |= dict.fromkeys(
    (*OF_CHANNELS, "running_mean", "running_var", "square", "rate", "corrections", "average", "share"), SUM
)
TILE = {"TILE": 64, "WIDTH": 64}
LOSS = ("gradient", "logits", "losses", "result")
OTHER_TYPES = {"_first_layer": {"weight": MAP}, "_cross_entropy": {"label": COUNT, **dict.fromkeys(LOSS, SUM)}}
"""Of arguments that some kernels call as others do."""


def kernels() -> Iterator[tuple[Any, dict[str, Any]]]:
    """Each kernel with what is fixed when it is compiled."""
    plain, norm, maps, first = triton_kernels, triton_norm, triton_maps, triton_first_layer
    for added, relu in itertools.product((True, False), repeat=2):
        for kernel in (plain._bias_relu, norm._normalise):
            yield kernel, {"ADDED": added, "RELU": relu, **TILE}
    for kernel in (plain._bias_relu_pool, plain._bias_relu_backward, plain._bias_relu_pool_backward, plain._sum_rows):
        yield kernel, TILE
    yield plain._sum_windows, {"SIZE": 7, "BLOCK": 512}
    yield norm._moments, TILE
    for kernel in (triton_loss._cross_entropy, triton_loss._cross_entropy_backward):
        yield kernel, {"TILE": 1024, "WIDTH": 2}
    sums = {"TILE": 512, "LANES": 8}
    yield norm._finish_gradients, sums
    for flag in (True, False):
        yield norm._finish_moments, {"OFFSET": flag, **sums}
        yield norm._gradient_before, {"MASKED": flag, **TILE}
        yield maps._enlarge, {"NEAREST": flag, **TILE}
        yield maps._enlarge_backward, {"NEAREST": flag, "DOWN": 8, "ACROSS": 4, "TILE": 512, "WIDTH": 2}
        for averaged in (True, False):
            yield triton_adam._adam_update, {"DECOUPLED": flag, "AVERAGED": averaged, "BLOCK": 1024}
        layer = {"CHANNELS": 3, "OUT": 64, "RELU": flag, "TILE": 128}
        yield first._first_layer, layer
        yield first._first_layer_gradients, layer
    for passed, other in ((0, False), (1, False), (2, False), (2, True)):
        yield norm._sum_gradients, {"OTHER": other, "PASSED": passed, **TILE}
        small = {"PASSED": passed, "TILE": 2048, "LANES": 8}
        yield triton_small_norm._normalise_backward_at_once, {"OTHER": other, **small}
    for offset, added, relu in itertools.product((True, False), repeat=3):
        small = {"ADDED": added, "RELU": relu, "TILE": 512, "LANES": 8}
        yield triton_small_norm._normalise_at_once, {"OFFSET": offset, **small}
    for size, stride, padding in ((2, 2, 0), (3, 2, 1)):
        for kernel in (maps._max_pool, maps._max_pool_backward):
            yield kernel, {"KERNEL": size, "STRIDE": stride, "PADDING": padding, **TILE}


if __name__ == "__main__":
    names = set()
    for kernel, fixed in kernels():
        types = TYPES | OTHER_TYPES.get(kernel.__name__.removesuffix("_backward").removesuffix("_gradients"), {})
        signature = {name: "constexpr" if name in fixed else types.get(name, "i32") for name in kernel.arg_names}
        constants = {(kernel.arg_names.index(name),): value for name, value in fixed.items()}
        triton.compile(ASTSource(kernel, signature, constants), target=HOPPER)
        names.add(kernel.__name__)
    print(*sorted(names))
