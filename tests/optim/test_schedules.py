import pytest

from segkit.optim.schedules import learning_rate_factor


def test_constant() -> None:
    factor = learning_rate_factor("constant", 0.0, 10)
    assert [factor(step) for step in (0, 5, 9)] == [1, 1, 1]


def test_cosine_falls_from_one_through_a_half_to_zero() -> None:
    factor = learning_rate_factor("cosine", 0.0, 100)
    assert [factor(step) for step in (0, 50, 100)] == pytest.approx([1, 0.5, 0])
    assert all(factor(step) > factor(step + 1) for step in range(100))


def test_poly_is_a_power_of_the_share_that_is_left() -> None:
    factor = learning_rate_factor("poly", 20, 100)
    assert [factor(step) for step in (20, 60, 90, 100)] == pytest.approx([1, 0.5**0.9, 0.125**0.9, 0])


@pytest.mark.parametrize("warmup", [0.2, 4])
def test_warmup_rises_evenly_and_never_stands_at_zero(warmup: float) -> None:
    factor = learning_rate_factor("cosine", warmup, 20)
    assert [factor(step) for step in range(5)] == pytest.approx([0.2, 0.4, 0.6, 0.8, 1.0])


@pytest.mark.parametrize("schedule", ["constant", "cosine", "poly"])
def test_fewer_steps_than_warmup_and_more_than_were_planned_are_no_error(schedule: str) -> None:
    factor = learning_rate_factor(schedule, 500, 10)  # type: ignore[arg-type]
    assert factor(9) == pytest.approx(10 / 501)
    assert learning_rate_factor(schedule, 0, 10)(12) == (schedule == "constant")  # type: ignore[arg-type]
