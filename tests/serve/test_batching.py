"""Pictures that wait together are computed together, and more than there is room for are refused."""

import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from segkit.models.trained import read_checkpoint
from segkit.predict.ensemble import Ensemble
from segkit.predict.predictor import Predictor
from segkit.serve import batching as module
from segkit.serve.batching import Batching
from segkit.serve.messages import Refused
from segkit.serve.warm_up import warm_up
from tests.commands.test_predict import write_checkpoint
from tests.serve.serving import Redness, picture


class Held(Redness):
    """It waits until ``go`` before each batch, and keeps the sizes of all batches."""

    def __init__(self) -> None:
        self.go, self.at_work, self.batches = threading.Semaphore(0), threading.Semaphore(0), []  # type: ignore[var-annotated]

    def probabilities_together(self, pictures: Sequence[Any]) -> Iterator[torch.Tensor]:
        self.at_work.release()
        assert self.go.acquire(timeout=30)
        self.batches.append(len(pictures))
        yield from super().probabilities_together(pictures)


def wait_for(batching: Batching, waiting: int) -> None:
    for _ in range(3000):
        if len(batching._waiting) == waiting:
            return
        threading.Event().wait(0.01)
    pytest.fail(f"{len(batching._waiting)} are waiting")


def test_what_waits_together_is_computed_together_in_powers_of_two_and_by_size() -> None:
    held = Held()
    batching = Batching(held, most=4, queue=64, pixels=10_000)
    small = (2, 9)  # among the others
    images = [picture(*((20, 20) if i in small else (30, 50)), seed=i) for i in range(10)]
    with ThreadPoolExecutor(10) as pool:
        first = pool.submit(batching.segment, [images[0]], (30, 50))
        assert held.at_work.acquire(timeout=30)
        others = []
        for number, image in enumerate(images[1:], start=1):  # one after the other, so that their order is known
            others.append(pool.submit(batching.segment, [image], image.shape[:2]))
            wait_for(batching, number)
        for _ in range(10):
            held.go.release()
        answers = [first.result(), *(other.result() for other in others)]
    assert held.batches == [1, 4, 2, 2, 1]
    for image, answer in zip(images, answers, strict=True):
        assert np.array_equal(answer.classes, image[..., 0] > 127)
        assert np.array_equal(answer.confidence, image[..., 0])
    assert [answer.together for answer in answers] == [1, 4, 2, 4, 4, 4, 2, 2, 1, 2]
    batching.stop()


def test_a_batch_of_large_pictures_is_no_larger_than_its_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "OUTPUT_BYTES", 2 * 4 * 2 * 30 * 50)  # two of them
    held = Held()
    batching = Batching(held, most=8, queue=64, pixels=10_000)
    with ThreadPoolExecutor(5) as pool:
        answers = [pool.submit(batching.segment, [picture()], (30, 50))]
        assert held.at_work.acquire(timeout=30)
        answers += [pool.submit(batching.segment, [picture()], (30, 50)) for _ in range(4)]
        wait_for(batching, 4)
        for _ in range(3):
            held.go.release()
        for answer in answers:
            answer.result()
    assert held.batches == [1, 2, 2]
    batching.stop()


def test_the_queue_has_an_end_by_count_and_by_pixels() -> None:
    batching = Batching(Redness(), most=8, queue=3, pixels=100)
    with batching.place(1), batching.place(1), batching.place(1):
        with pytest.raises(Refused) as refused, batching.place(1):
            pass
        assert (refused.value.status, refused.value.retry_after) == (503, 1)
        assert refused.value.sentence == "3 pictures are in work, the most here. Come back later."
    with batching.place(700):
        with batching.place(100):
            pass
        with pytest.raises(Refused), batching.place(101):
            pass
    with batching.place(900):  # alone, whatever it is
        pass
    batching.stop()
    with pytest.raises(Refused, match=r"The server is being stopped\."):
        batching.segment([picture()], (30, 50))


@pytest.mark.parametrize("average", [[], ["flip", 0.5]])
@pytest.mark.parametrize("members", [1, 2])
def test_a_real_network_says_of_many_pictures_what_it_says_of_each(
    tmp_path: Path, average: list[Any], members: int
) -> None:
    places = [write_checkpoint(tmp_path / f"{seed}.ckpt", seed=seed) for seed in range(members)]
    networks = {
        str(place): Predictor(read_checkpoint(place, "checkpoint"), precision="fp32", average=average)
        for place in places
    }
    network = Ensemble(networks)
    warm_up(network, (32, 64), 2)
    images = [picture(37, 125), picture(64, 32), picture(32, 64)]
    together = list(network.probabilities_together([(network.views(image), image.shape[:2]) for image in images]))
    for image, found in zip(images, together, strict=True):
        torch.testing.assert_close(found, network.probabilities(image), rtol=0, atol=1e-5)
