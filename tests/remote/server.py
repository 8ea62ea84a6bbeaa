"""moto's server on loopback, with faults that a test asks for in between."""

import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import boto3
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, MotoRequestHandler, create_backend_app
from werkzeug.serving import make_server

Fault = Callable[[dict[str, Any], Callable[..., Any], Callable[[], Iterable[bytes]]], Iterable[bytes] | None]
"""Gets the request (WSGI), ``start_response``, and what gives the true answer; returns an answer, or None for that."""


class Bucket:
    """The bucket ``roads`` on a server at ``endpoint``."""

    def __init__(self, endpoint: str) -> None:
        self.endpoint = endpoint
        self.fault: Fault | None = None
        self.requests: list[tuple[str, str, str]] = []
        self.environment = {
            "AWS_ENDPOINT_URL": endpoint,
            "AWS_ACCESS_KEY_ID": "key",
            "AWS_SECRET_ACCESS_KEY": "secret",
            "AWS_DEFAULT_REGION": "eu-central-1",
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_MAX_ATTEMPTS": "1",
            "AWS_CONFIG_FILE": "/dev/null",
            "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
        }
        self.client = boto3.client(
            "s3", "eu-central-1", endpoint_url=endpoint, aws_access_key_id="key", aws_secret_access_key="secret"
        )

    def clear(self) -> None:
        self.fault = None
        names = [bucket["Name"] for bucket in self.client.list_buckets()["Buckets"]]
        if "roads" in names:
            for key in self.keys():
                self.client.delete_object(Bucket="roads", Key=key)
        else:
            self.client.create_bucket(Bucket="roads", CreateBucketConfiguration={"LocationConstraint": "eu-central-1"})
        self.requests.clear()

    def put(self, key: str, content: bytes) -> None:
        self.client.put_object(Bucket="roads", Key=key, Body=content)

    def put_tree(self, folder: Path, key: str) -> None:
        for path in sorted(path for path in folder.rglob("*") if path.is_file()):
            self.put(f"{key}/{path.relative_to(folder)}", path.read_bytes())

    def get(self, key: str) -> bytes:
        return self.client.get_object(Bucket="roads", Key=key)["Body"].read()

    def keys(self, prefix: str = "") -> list[str]:
        pages = self.client.get_paginator("list_objects_v2").paginate(Bucket="roads", Prefix=prefix)
        return [item["Key"] for page in pages for item in page.get("Contents", [])]

    def gets(self) -> list[str]:
        """Paths of the files that were asked for."""
        return [path for method, path, query in self.requests if method == "GET" and "list-type" not in query]


@contextmanager
def serving() -> Iterator[Bucket]:
    """The server runs within it, on a port of its own."""
    moto = DomainDispatcherApplication(create_backend_app)

    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        bucket.requests.append((environ["REQUEST_METHOD"], environ["PATH_INFO"], environ["QUERY_STRING"]))
        fault = bucket.fault
        if fault is not None:
            answer = fault(environ, start_response, lambda: moto(environ, start_response))
            if answer is not None:
                return answer
        return moto(environ, start_response)

    server = make_server("127.0.0.1", 0, app, threaded=True, request_handler=MotoRequestHandler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    bucket = Bucket(f"http://127.0.0.1:{server.server_port}")
    try:
        yield bucket
    finally:
        server.shutdown()
        thread.join()
