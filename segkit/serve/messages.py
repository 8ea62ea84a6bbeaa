"""What goes over the wire: a request, its answer, and a refusal, which is a status and a sentence."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from email.message import Message
from http import HTTPStatus
from typing import Any, NamedTuple


class Refused(Exception):  # noqa: N818 - an answer, for the client
    """What a client gets in place of an answer: a status, a sentence, and after how many seconds to come back."""

    def __init__(self, status: HTTPStatus, sentence: str, retry_after: int | None = None) -> None:
        super().__init__(sentence)
        self.status, self.sentence, self.retry_after = status, sentence, retry_after


class Request(NamedTuple):
    """``path`` is without its query, ``headers`` have the method ``get``; ``body`` is read when it is called.

    ``body`` raises Refused: no length, too long, too slow, cut off, no room.
    """

    method: str
    path: str
    headers: Message
    body: Callable[[], bytes]


@dataclass(frozen=True)
class Answer:
    """``kind`` is the content's media type."""

    content: bytes
    kind: str
    status: HTTPStatus = HTTPStatus.OK
    headers: Mapping[str, str] = field(default_factory=dict)


Handle = Callable[[Request], Answer]


def json_answer(content: Any, status: HTTPStatus = HTTPStatus.OK, **headers: str) -> Answer:
    text = json.dumps(content, allow_nan=False, ensure_ascii=False)
    return Answer(text.encode(), "application/json", status, headers)


def come_back(sentence: str, seconds: int = 1) -> Refused:
    """For a server that has no room just now."""
    return Refused(HTTPStatus.SERVICE_UNAVAILABLE, f"{sentence} Come back later.", seconds)


def refusal(refused: Refused) -> Answer:
    """As an answer: JSON with the sentence as ``error``."""
    headers = {} if refused.retry_after is None else {"Retry-After": str(refused.retry_after)}
    answer = json_answer({"error": refused.sentence}, refused.status)
    return Answer(answer.content, answer.kind, answer.status, headers)
