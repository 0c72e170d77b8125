"""Downloads files over HTTP: resumes partial downloads, verifies, then renames.

The bytes received so far are in `NAME.partial`; `NAME.partial.json` identifies their
version of the file. If the server no longer has that version, or does not support range
requests, the download starts again.
"""

import contextlib
import http.client
import json
import os
import pathlib
import ssl
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from typing import Any

from milan_jax._src.errors import UserError
from milan_jax._src.files import atomic
from milan_jax._src.files.digests import sha256_of_file

# Called with the number of bytes received and the total number.
Progress = Callable[[int, int], None]

_CHUNK = 1 << 20
_PAUSE = 1.0  # additional seconds to wait after each consecutive failure
_PARTIAL = http.HTTPStatus.PARTIAL_CONTENT
_NOT_SATISFIABLE = http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE
_SERVER_ERRORS = http.HTTPStatus.INTERNAL_SERVER_ERROR
# Exceptions raised by an interrupted connection.
_BROKEN = (http.client.HTTPException, ConnectionError, TimeoutError, ssl.SSLError)


class _CutError(Exception):
  """The transfer was interrupted; the bytes received are kept."""


class _ChangedError(Exception):
  """The bytes received belong to another version than the server's."""


def download(
  url: str,
  path: str | os.PathLike[str],
  *,
  size: int | None = None,
  sha256: str | None = None,
  progress: Progress | None = None,
  timeout: float = 30.0,
  retries: int = 3,
) -> pathlib.Path:
  """Downloads `url` to `path`, unless the file exists, and returns the path.

  Args:
    url: an http or https URL.
    path: the file to write; its folder is created if missing.
    size: required number of bytes; None takes the server's.
    sha256: required hex digest; not checked if None.
    progress: called as bytes arrive.
    timeout: seconds without a response after which an attempt fails.
    retries: maximum number of consecutive retries without receiving any byte.

  Raises:
    UserError: if there is no connection, or the file is missing or not the expected
      one. The bytes received are kept, unless they are wrong.
  """
  if urllib.parse.urlsplit(url).scheme not in ("http", "https"):
    raise UserError(f"{url} is not an http or https URL")
  path = pathlib.Path(path)
  if path.exists():
    _verify(path, url, size, sha256)
    return path
  path.parent.mkdir(parents=True, exist_ok=True)
  transfer = _Transfer(url, path, size, progress, timeout)
  failures = 0
  while True:
    before = transfer.num_bytes
    try:
      total = transfer.run()
      break
    except _ChangedError:
      transfer.forget()
    except _CutError as error:
      failures = failures + 1 if transfer.num_bytes <= before else 0
      if failures > retries:
        raise UserError(
          f"the download of {url} stopped at byte {transfer.num_bytes} ({error}): run "
          "the same command again to resume it"
        ) from error
      time.sleep(_PAUSE * failures)
  try:
    _verify(transfer.partial, url, total, sha256)
  except UserError:
    transfer.forget()
    raise
  with transfer.partial.open("rb") as file:
    os.fsync(file.fileno())
  transfer.partial.replace(path)
  transfer.forget()
  return path


def _verify(path: pathlib.Path, url: str, size: int | None, sha256: str | None) -> None:
  actual = path.stat().st_size
  if size is not None and actual != size:
    raise UserError(
      f"{path} has {actual} bytes, but {url} should have {size}: remove it and run "
      "again"
    )
  if sha256 is not None and sha256_of_file(path) != sha256:
    raise UserError(
      f"{path} does not match the checksum of {url}: it is damaged or "
      "another file; remove it and run again"
    )


class _Transfer:
  """The transfer of one file: the bytes received, and requests for the rest."""

  def __init__(
    self,
    url: str,
    path: pathlib.Path,
    size: int | None,
    progress: Progress | None,
    timeout: float,
  ):
    self.partial = path.with_name(f"{path.name}.partial")
    self._note = path.with_name(f"{path.name}.partial.json")
    self._url = url
    self._path = path
    self._size = size
    self._progress = progress
    self._timeout = timeout

  @property
  def num_bytes(self) -> int:
    """Number of bytes received so far."""
    return self.partial.stat().st_size if self.partial.exists() else 0

  def forget(self) -> None:
    """Removes the bytes received so far."""
    self.partial.unlink(missing_ok=True)
    self._note.unlink(missing_ok=True)

  def run(self) -> int:
    """Requests the missing bytes once; returns the file's size when complete."""
    version = self._version()
    start = self.num_bytes
    if not version or start > version["size"]:
      self.forget()
      start = 0
    elif start == version["size"]:
      return start
    headers = {"User-Agent": "milan-jax", "Accept-Encoding": "identity"}
    if start:
      headers["Range"] = f"bytes={start}-"
    request = urllib.request.Request(self._url, headers=headers)
    with (
      self._failures(),
      urllib.request.urlopen(request, timeout=self._timeout) as response,
    ):
      answered = self._answered(response)
      if response.status == _PARTIAL:
        first = f"bytes {start}-"
        if answered != version or not _range(response).startswith(first):
          raise _ChangedError
      else:
        start = 0
        self.partial.unlink(missing_ok=True)
        atomic.write_json(self._note, answered)
      size: int = answered["size"]
      self._copy(response, start, size)
    return size

  def _version(self) -> dict[str, Any] | None:
    """Returns the version of the file that the received bytes belong to."""
    try:
      version = json.loads(self._note.read_bytes())
    except (OSError, ValueError):
      return None
    return version if version.get("url") == self._url else None

  def _answered(self, response: http.client.HTTPResponse) -> dict[str, Any]:
    """Returns the version of the file in a response."""
    partial = response.status == _PARTIAL
    length = response.headers.get("Content-Length") or ""
    total = _range(response).rpartition("/")[2] if partial else length
    if not total.isdecimal():
      raise UserError(
        f"the server of {self._url} does not report its length: it cannot be verified"
      )
    if self._size is not None and int(total) != self._size:
      raise UserError(
        f"{self._url} has {total} bytes, but should have {self._size}: it is another "
        "file"
      )
    return {
      "url": self._url,
      "size": int(total),
      "etag": response.headers.get("ETag"),
      "modified": response.headers.get("Last-Modified"),
    }

  def _copy(self, response: http.client.HTTPResponse, start: int, total: int) -> None:
    with self.partial.open("ab") as file:
      while chunk := response.read1(_CHUNK):
        file.write(chunk)
        start += len(chunk)
        if self._progress:
          self._progress(start, total)
    if start < total:
      raise _CutError("the connection was closed")

  @contextlib.contextmanager
  def _failures(self) -> Iterator[None]:
    """Converts errors: `_CutError` if a retry can help, `UserError` otherwise."""
    try:
      yield
    except urllib.error.HTTPError as error:
      error.close()
      if error.code == _NOT_SATISFIABLE:
        raise _ChangedError from error
      if error.code >= _SERVER_ERRORS:
        raise _CutError(f"the server returned {error.code}") from error
      raise UserError(f"{self._url} returned {error.code} {error.reason}") from error
    except urllib.error.URLError as error:
      host = urllib.parse.urlsplit(self._url).netloc
      raise UserError(
        f"no connection to {host} ({error.reason}): download {self._url} on another "
        f"machine and copy it to {self._path}"
      ) from error
    except _BROKEN as error:
      raise _CutError(str(error) or type(error).__name__) from error
    except OSError as error:
      raise UserError(f"{self.partial} cannot be written: {error.strerror}") from error


def _range(response: http.client.HTTPResponse) -> str:
  return response.headers.get("Content-Range") or ""
