"""Requests of all kinds that are none: each gets its status and a sentence, and hurts nobody."""

import json
from collections.abc import Iterator

import numpy as np
import pytest

from segkit.benchmarks.bad_requests import CLOSED, BadRequest, answer_to, bad_requests
from segkit.serve.server import Server
from tests.serve.serving import Client, file_of, mask_in, picture, serving


@pytest.fixture(scope="module")
def served() -> Iterator[tuple[Server, Client]]:
    with serving() as (_, server, ask):
        yield server, ask


@pytest.mark.parametrize("one", bad_requests(), ids=lambda one: one.kind)
def test_a_bad_request_is_told_so_and_the_next_good_one_is_answered(
    one: BadRequest, served: tuple[Server, Client]
) -> None:
    server, ask = served
    status, body = answer_to(("127.0.0.1", server.port), one.sent, 30)
    assert status in one.right
    if status not in (CLOSED, 200):
        sentence = json.loads(body)["error"]
        assert sentence[-1] == "."
        assert "Traceback" not in sentence
    image = picture()
    reply = ask("POST", "/invocations", file_of(image))
    assert np.array_equal(mask_in(reply.content), image[..., 0] > 127)


def test_there_are_more_than_fifty_kinds() -> None:
    kinds = [one.kind for one in bad_requests()]
    assert len(set(kinds)) == len(kinds) > 50
