"""S3, and what speaks like it: listing, reading, writing, and boto3's errors told as what to do about them."""

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, Any

from segkit.errors import UserError
from segkit.remote.address import Address, BrokenOff, Entry

CHUNK = 1 << 18
"""Bytes that are taken from a connection at once: with 1 MB the same copy takes nearly twice the processor's time."""

CONNECTIONS = 24
ATTEMPTS = 6
"""Times that a busy server is asked, within half a minute; botocore's own number, 3, is through in two seconds."""

READ_TIMEOUT = 60.0
"""Seconds of silence after which an answer counts as broken off."""

SMALL = 8 << 20
"""Bytes from which on a file is sent in parts."""

SIGN_IN = "sign in (aws configure, aws sso login), or set AWS_PROFILE or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"

_RENEW = f"the credentials have expired; {SIGN_IN}"
_CHANGED = "it has changed while it was copied; run the command again"
_REGION = "the bucket lies in another region; set AWS_REGION to it"
_NO_NAME = "this can be no bucket's name; aws s3 ls shows your own"
_ANSWERS = {
    "NoSuchBucket": "there is no bucket of this name; aws s3 ls shows your own",
    "InvalidBucketName": _NO_NAME,
    "NoSuchKey": "it is no longer there; run the command again",
    "ExpiredToken": _RENEW,
    "ExpiredTokenException": _RENEW,
    "TokenRefreshRequired": _RENEW,
    "InvalidToken": f"the session token is not valid; {SIGN_IN}",
    "InvalidAccessKeyId": f"the access key is not known there; {SIGN_IN}",
    "SignatureDoesNotMatch": f"the secret key does not fit the access key; {SIGN_IN}",
    "RequestTimeTooSkewed": "this machine's clock is wrong; set it right",
    "InvalidObjectState": "it is archived (Glacier); restore it first: aws s3api restore-object",
    "PreconditionFailed": _CHANGED,
    "InvalidRange": _CHANGED,
    "SlowDown": "the server is overloaded; run the command again later",
    "PermanentRedirect": _REGION,
    "AuthorizationHeaderMalformed": _REGION,
}
_BUSY = {"SlowDown", "RequestTimeout", "InternalError", "ServiceUnavailable", "Throttling", "RequestLimitExceeded"}


class S3:
    """What lies at an ``s3://`` address. Credentials, region and endpoint are those that every AWS tool finds.

    Where there are no credentials, requests are not signed: a public bucket needs none.

    Args:
        address: of a file, a folder or a bucket.
        setting: what the user has typed, ``data.root=s3://…``, for messages.

    Raises:
        UserError: boto3 is missing, or the configuration of AWS is wrong.
    """

    def __init__(self, address: Address, setting: str) -> None:
        try:
            import boto3
            from botocore import UNSIGNED
            from botocore.config import Config
        except ModuleNotFoundError as error:
            raise UserError(f"{setting}: needs boto3: pip install 'segkit[aws]'") from error
        for name in ("boto3", "botocore", "s3transfer"):
            logging.getLogger(name).setLevel(logging.WARNING)  # where credentials come from is nobody's question
        self.address, self.setting, self.signed = address, setting, True
        with self._told():
            session = boto3.Session()
            self.signed = session.get_credentials() is not None
            attempts = {} if "AWS_MAX_ATTEMPTS" in os.environ else {"total_max_attempts": ATTEMPTS}
            config = Config(
                connect_timeout=10,
                read_timeout=READ_TIMEOUT,
                retries={"mode": "standard", **attempts},
                max_pool_connections=CONNECTIONS,
                signature_version=None if self.signed else UNSIGNED,
            )
            try:
                self.client: Any = session.client("s3", config=config)
            except ValueError as error:
                raise UserError(f"{setting}: {error}; look at AWS_ENDPOINT_URL") from error
        self.endpoint = str(self.client.meta.endpoint_url)

    def entries(self) -> tuple[list[Entry], bool]:
        """See :class:`segkit.remote.address.Store`."""
        key = self.address.key
        if key:
            single = self._single(key)
            if single is not None:
                return [single], True
        prefix = f"{key}/" if key else ""
        found = []
        with self._told():
            pages = self.client.get_paginator("list_objects_v2").paginate(Bucket=self.address.bucket, Prefix=prefix)
            for item in (item for page in pages for item in page.get("Contents", [])):
                if not (item["Key"].endswith("/") and item["Size"] == 0):  # how consoles mark a folder
                    found.append(Entry(item["Key"][len(prefix) :], item["Key"], item["Size"], item["ETag"]))
        return found, False

    def _single(self, key: str) -> Entry | None:
        from botocore.exceptions import ClientError

        name = key.rpartition("/")[2]
        with self._told():
            try:
                # Not HEAD, whose answers do not say what is wrong. The key itself comes before all that it begins.
                page = self.client.list_objects_v2(Bucket=self.address.bucket, Prefix=key, MaxKeys=1)
            except ClientError as error:
                if _code(error) != "AccessDenied":
                    raise
                # One may be allowed to read a file without seeing what else there is.
                try:
                    answer = self.client.get_object(Bucket=self.address.bucket, Key=key)
                except ClientError:
                    raise error from None
                answer["Body"].close()
                return Entry(name, key, answer["ContentLength"], answer["ETag"])
        item = next(iter(page.get("Contents", [])), None)
        return Entry(name, key, item["Size"], item["ETag"]) if item and item["Key"] == key else None

    def read(self, entry: Entry, start: int, length: int) -> Iterator[bytes]:
        """See :class:`segkit.remote.address.Store`."""
        from botocore import exceptions as told

        # The checksum that the store may keep is of the whole file, and is compared where the whole is asked for.
        part = {} if length == entry.size else {"Range": f"bytes={start}-{start + length - 1}"}
        with self._told("" if entry.key == self.address.key else f"{entry.name}: "):
            try:
                answer = self.client.get_object(Bucket=self.address.bucket, Key=entry.key, IfMatch=entry.tag, **part)
                yield from answer["Body"].iter_chunks(CHUNK)
            except told.ClientError as error:
                if _code(error) in _BUSY or error.response["ResponseMetadata"]["HTTPStatusCode"] >= 500:
                    raise BrokenOff(str(error)) from error
                raise
            except (told.HTTPClientError, told.ConnectionError) as error:
                raise BrokenOff(str(error)) from error
            except (told.IncompleteReadError, told.FlexibleChecksumError) as error:
                raise BrokenOff(str(error)) from error

    def send(self, name: str, file: IO[bytes]) -> None:
        """Write a file below the address, in parts side by side where it is large; it is there whole or not at all.

        What is sent is what ``file`` holds, also where another one takes its name in the meantime.
        """
        from boto3.s3.transfer import TransferConfig

        with self._told():
            if os.fstat(file.fileno()).st_size < SMALL:
                self.client.put_object(Bucket=self.address.bucket, Key=self._key(name), Body=file.read())
                return
            self.client.upload_fileobj(
                file, self.address.bucket, self._key(name), Config=TransferConfig(max_concurrency=8)
            )

    def get_text(self, name: str) -> str | None:
        """A small file below the address; None where it is not there."""
        with self._told():
            try:
                answer = self.client.get_object(Bucket=self.address.bucket, Key=self._key(name))
            except self.client.exceptions.NoSuchKey:
                return None
            return str(answer["Body"].read().decode())

    def put_text(self, name: str, text: str, new: bool = False) -> bool:
        """Write a small file below the address; with ``new`` only where there is none. Returns whether it was written.

        Of several that write a new one at once, one succeeds.
        """
        from botocore.exceptions import ClientError

        only = {"IfNoneMatch": "*"} if new else {}
        with self._told():
            try:
                self.client.put_object(Bucket=self.address.bucket, Key=self._key(name), Body=text.encode(), **only)
            except ClientError as error:
                if new and _code(error) in ("PreconditionFailed", "ConditionalRequestConflict"):
                    return False
                raise
        return True

    def remove(self, name: str) -> None:
        with self._told():
            self.client.delete_object(Bucket=self.address.bucket, Key=self._key(name))

    def _key(self, name: str) -> str:
        return self.address.below(name).key

    @contextmanager
    def _told(self, which: str = "") -> Iterator[None]:
        """Turns boto3's errors into a line that says what the user can do; ``which`` file of many it is about."""
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            yield
        except (BotoCoreError, ClientError) as error:
            raise UserError(f"{self.setting}: {which}{self._reason(error)}") from error

    def _reason(self, error: Any) -> str:
        from botocore import exceptions

        if isinstance(error, exceptions.ClientError):
            code, said = _code(error), " ".join(str(error.response["Error"].get("Message", "")).split())
            if code in ("AccessDenied", "AllAccessDisabled", "UnauthorizedAccess"):
                if not self.signed:
                    return f"is not public, and no credentials were found; {SIGN_IN}"
                needed = {"ListObjectsV2": "s3:ListBucket", "GetObject": "s3:GetObject"}
                right = needed.get(error.operation_name, "s3:PutObject")
                said = f" ({said})" if said.lower().rstrip(".") not in ("", "access denied") else ""
                return f"no permission{said}; your user or role needs {right} on bucket {self.address.bucket}"
            return _ANSWERS.get(code, f"the server answers {code}: {said}")
        if isinstance(error, exceptions.ParamValidationError):
            return _NO_NAME
        if isinstance(error, exceptions.HTTPClientError | exceptions.ConnectionError):
            return f"no answer from {self.endpoint}; look at the network and at AWS_ENDPOINT_URL"
        if isinstance(error, exceptions.NoCredentialsError | exceptions.PartialCredentialsError):
            return f"{str(error).rstrip('.')}; {SIGN_IN}"
        return " ".join(str(error).split()).rstrip(".") + f"; {SIGN_IN}, or look at AWS_ENDPOINT_URL and ~/.aws/config"


def _code(error: Any) -> str:
    code = str(error.response.get("Error", {}).get("Code", ""))
    return {"403": "AccessDenied", "404": "NoSuchKey", "412": "PreconditionFailed", "416": "InvalidRange"}.get(
        code, code
    )
