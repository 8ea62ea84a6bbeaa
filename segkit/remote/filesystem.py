"""Every other address (``gs://``, ``hf://``, ``https://``, …): read through fsspec, where that is installed."""

from collections.abc import Iterator
from typing import Any

from segkit.errors import UserError
from segkit.remote.address import Address, BrokenOff, Entry

PACKAGES = {"gs": "gcsfs", "gcs": "gcsfs", "hf": "huggingface_hub", "http": "fsspec[http]", "https": "fsspec[http]"}

TAGS = ("etag", "ETag", "md5Hash", "sha256", "blob_id", "checksum", "generation", "mtime", "LastModified", "created")
"""Under what names fsspec's file systems tell what changes with a file's content."""


class OtherStore:
    """What lies at an address of any scheme that fsspec knows; arguments as for :class:`segkit.remote.s3.S3`.

    Raises:
        UserError: fsspec, or the package for this scheme, is missing; no such scheme.
    """

    def __init__(self, address: Address, setting: str) -> None:
        self.address, self.setting, self.endpoint = address, setting, ""
        package = PACKAGES.get(address.scheme, "fsspec and its package for this scheme")
        try:
            import fsspec

            self.files, self.path = fsspec.core.url_to_fs(str(address))
            self.files.invalidate_cache()  # fsspec keeps a file system, and what it has seen, for the whole process
        except ImportError as error:
            raise UserError(f"{setting}: needs a package: pip install '{package}'") from error
        except ValueError as error:
            raise UserError(f"{setting}: {error}; s3://, gs://, hf:// and https:// are addresses") from error
        except Exception as error:  # each file system has errors of its own: no credentials, no such repository
            raise self._told(error) from error

    def entries(self) -> tuple[list[Entry], bool]:
        """See :class:`segkit.remote.address.Store`."""
        try:
            if not self.files.exists(self.path):
                return [], False
            about = self.files.info(self.path)
            if about["type"] == "file":
                return [self._entry(self.address.name, about)], True
            if self.address.scheme in ("http", "https"):
                return [], False
            found = self.files.find(self.path, detail=True)
        except UserError:
            raise
        except Exception as error:
            raise self._told(error) from error
        base = self.path.rstrip("/") + "/"
        return [self._entry(name.removeprefix(base), about) for name, about in found.items()], False

    def _entry(self, name: str, about: dict[str, Any]) -> Entry:
        if about.get("size") is None:
            raise UserError(f"{self.setting}: the server does not say how large it is; download it by hand")
        tag = next((about[key] for key in TAGS if about.get(key)), "")
        seconds = getattr(tag, "timestamp", None)  # listed as the one, and asked for as the other
        return Entry(name, about["name"], int(about["size"]), str(seconds() if seconds else tag))

    def read(self, entry: Entry, start: int, length: int) -> Iterator[bytes]:
        """See :class:`segkit.remote.address.Store`."""
        try:
            whole = length == entry.size
            chunk = self.files.cat_file(entry.key, *(() if whole else (start, start + length)))
            if len(chunk) == entry.size:  # some servers know no ranges
                chunk = chunk[start : start + length]
            if start + length == entry.size and self._entry(entry.name, self.files.info(entry.key)) != entry:
                raise UserError(f"{self.setting}: {entry.name} has changed while it was copied; run the command again")
        except UserError:
            raise
        except Exception as error:
            raise BrokenOff(str(self._told(error))) from error
        yield chunk

    def _told(self, error: Exception) -> UserError:
        reason = " ".join(str(error).split()) or type(error).__name__
        return UserError(f"{self.setting}: cannot be read ({reason}); look at the address, the network and your rights")
