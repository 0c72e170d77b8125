"""Hexadecimal SHA-256 digests of contents."""

import hashlib
import os
import pathlib
from collections.abc import Iterable

import numpy as np


def sha256_of(parts: Iterable[bytes | str | np.ndarray]) -> str:
  """Returns the digest of concatenated parts: text in UTF-8, arrays in C order."""
  digest = hashlib.sha256()
  for part in parts:
    if isinstance(part, np.ndarray):
      digest.update(np.ascontiguousarray(part).reshape(-1).view(np.uint8).data)
    else:
      digest.update(part.encode() if isinstance(part, str) else part)
  return digest.hexdigest()


def sha256_of_file(path: str | os.PathLike[str]) -> str:
  """Returns the digest of a file's content."""
  with pathlib.Path(path).open("rb") as file:
    return hashlib.file_digest(file, "sha256").hexdigest()
