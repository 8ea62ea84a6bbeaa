import math

import pytest
import torch
from torch import nn

from segkit.benchmarks import timing


def test_the_median_is_of_the_steps_after_the_warm_up(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([10.0, 10.5, 10.6, 12.6])  # 500, 100 and 2000 ms
    monkeypatch.setattr("segkit.benchmarks.timing.time.perf_counter", lambda: next(clock))
    calls: list[int] = []
    taken = timing.median_step_ms(lambda: calls.append(1), torch.device("cpu"), steps=3, warm_up=2)
    assert taken == pytest.approx(500)
    assert len(calls) == 5


def test_flops_of_forward_and_backward_pass() -> None:
    network = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 2, 1))
    with torch.device("meta"):
        image = torch.empty(2, 3, 5, 7)
    first, second = 2 * (2 * 5 * 7) * (3 * 8 * 9), 2 * (2 * 5 * 7) * (8 * 2)
    # Forward, gradient of the weights, and gradient of the input, which the picture does not need.
    assert timing.count_flops(network.to("meta"), image) == 2 * first + 3 * second


def test_the_matrix_peak_is_a_number_of_tflops(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(timing.PEAK_SIZE, "cpu", 16)
    monkeypatch.setattr(timing, "median_step_ms", lambda step, device, steps, warm_up: step() is None or 1e-6)
    assert math.isclose(timing.matrix_peak(torch.device("cpu"), torch.float32), 2 * 16**3 / 1e-9 / 1e12)
