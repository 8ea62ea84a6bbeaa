import pytest

from segkit.optim.schedules import learning_rate_factor


def test_constant() -> None:
    factor = learning_rate_factor("constant", 0.0, 10)
    assert [factor(step) for step in (0, 5, 9)] == [1, 1, 1]


def test_cosine_falls_from_one_through_a_half_to_zero() -> None:
    factor = learning_rate_factor("cosine", 0.0, 100)
    assert [factor(step) for step in (0, 50, 100)] == pytest.approx([1, 0.5, 0])
    assert all(factor(step) > factor(step + 1) for step in range(100))


def test_warmup_rises_evenly_and_never_stands_at_zero() -> None:
    factor = learning_rate_factor("cosine", 0.2, 20)
    assert [factor(step) for step in range(5)] == pytest.approx([0.2, 0.4, 0.6, 0.8, 1.0])
