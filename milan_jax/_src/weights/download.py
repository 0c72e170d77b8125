"""Fetches files over HTTP: resumed where it stopped, verified, then renamed.

What has arrived lies in `NAME.partial`, and `NAME.partial.json` says of which version
of the file it is a part. If the server no longer has that version, or cannot send a
part, the whole is fetched again.
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

# Called with the number of bytes that are there and the number there will be.
Progress = Callable[[int, int], None]

_CHUNK = 1 << 20
_PAUSE = 1.0  # seconds more to wait with every try that fails in a row
_PARTIAL = http.HTTPStatus.PARTIAL_CONTENT
_NOT_SATISFIABLE = http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE
_SERVER_ERRORS = http.HTTPStatus.INTERNAL_SERVER_ERROR
# What a connection that breaks off raises.
_BROKEN = (http.client.HTTPException, ConnectionError, TimeoutError, ssl.SSLError)


class _CutError(Exception):
  """The transfer broke off; what arrived is kept."""


class _ChangedError(Exception):
  """What is here is not part of what the server has."""


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
  """Fetches `url` to `path`, unless it is there already, and returns the path.

  Args:
    url: an http or https address.
    path: where the file goes; its folder is made where it is missing.
    size: number of bytes that the file must have; what the server says if None.
    sha256: digest that the file must have, in hexadecimal; not checked if None.
    progress: called as bytes arrive.
    timeout: seconds without an answer after which a try has failed.
    retries: number of further tries that may fail in a row without a byte arriving.

  Raises:
    UserError: if there is no connection, no such file, or not the file expected. What
      has arrived is kept, unless it is wrong.
  """
  if urllib.parse.urlsplit(url).scheme not in ("http", "https"):
    raise UserError(f"{url} is not an http or https address")
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
          f"{url} broke off at byte {transfer.num_bytes} ({error}): run the same "
          "command again, it resumes from there"
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
      f"{path} does not have the checksum that {url} should have: it is damaged or "
      "another file, remove it and run again"
    )


class _Transfer:
  """One file under way: what is here of it, and the next request for the rest."""

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
    """Number of bytes that have arrived."""
    return self.partial.stat().st_size if self.partial.exists() else 0

  def forget(self) -> None:
    """Removes what has arrived."""
    self.partial.unlink(missing_ok=True)
    self._note.unlink(missing_ok=True)

  def run(self) -> int:
    """Asks once for what is missing and returns the file's size when all is here."""
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
    """What was noted of the version that the bytes here are a part of."""
    try:
      version = json.loads(self._note.read_bytes())
    except (OSError, ValueError):
      return None
    return version if version.get("url") == self._url else None

  def _answered(self, response: http.client.HTTPResponse) -> dict[str, Any]:
    """What the server says of the version that it has."""
    partial = response.status == _PARTIAL
    length = response.headers.get("Content-Length") or ""
    total = _range(response).rpartition("/")[2] if partial else length
    if not total.isdecimal():
      raise UserError(f"{self._url} does not give its length: it cannot be verified")
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
    """Tells what a new try can fix from what it cannot."""
    try:
      yield
    except urllib.error.HTTPError as error:
      error.close()
      if error.code == _NOT_SATISFIABLE:
        raise _ChangedError from error
      if error.code >= _SERVER_ERRORS:
        raise _CutError(f"the server answers {error.code}") from error
      raise UserError(f"{self._url} answers {error.code} {error.reason}") from error
    except urllib.error.URLError as error:
      host = urllib.parse.urlsplit(self._url).netloc
      raise UserError(
        f"no connection to {host} ({error.reason}): fetch {self._url} on a machine "
        f"that has one, and put it at {self._path}"
      ) from error
    except _BROKEN as error:
      raise _CutError(str(error) or type(error).__name__) from error
    except OSError as error:
      raise UserError(f"{self.partial} cannot be written: {error.strerror}") from error


def _range(response: http.client.HTTPResponse) -> str:
  return response.headers.get("Content-Range") or ""
