"""Digests of contents: SHA-256 in hexadecimal."""

import hashlib
import os
import pathlib
from collections.abc import Iterable

import numpy as np


def sha256_of(parts: Iterable[bytes | str | np.ndarray]) -> str:
  """Digest of parts, one after another: texts in UTF-8, arrays' values in C order."""
  digest = hashlib.sha256()
  for part in parts:
    if isinstance(part, np.ndarray):
      digest.update(np.ascontiguousarray(part).reshape(-1).view(np.uint8).data)
    else:
      digest.update(part.encode() if isinstance(part, str) else part)
  return digest.hexdigest()


def sha256_of_file(path: str | os.PathLike[str]) -> str:
  """Digest of a file's content."""
  with pathlib.Path(path).open("rb") as file:
    return hashlib.file_digest(file, "sha256").hexdigest()
