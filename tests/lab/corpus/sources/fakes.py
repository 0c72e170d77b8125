"""Small packages, archives and programs in place of the real ones."""

import io
import pathlib
import stat
import struct
import zlib

import numpy as np
from PIL import Image

from milan_jax._src.lab.corpus.sources.packages import Package

# Writes NAME_1.2-3_all.deb and notes the call, as `apt-get download NAME` would.
APT = """#!/bin/sh
echo "apt-get $*" >> "$CALLS"
[ "$1" = download ] || exit 9
echo "archive of $2" > "$2_1.2-3_all.deb"
"""
# An "archive" unpacks into one file.
DPKG = """#!/bin/sh
echo "dpkg-deb $1" >> "$CALLS"
if [ "$1" = -f ]; then echo "1:1.2-3"; exit 0; fi
mkdir -p "$3/usr/share/thing" && cp "$2" "$3/usr/share/thing/file"
"""


def write_program(path: pathlib.Path, text: str) -> None:
  path.parent.mkdir(parents=True, exist_ok=True)
  path.write_text(text)
  path.chmod(path.stat().st_mode | stat.S_IXUSR)


def package(name: str, folder: pathlib.Path) -> Package:
  return Package(name, "1", "0" * 64, "GPL-2", folder)


def encoded(pixels: np.ndarray, kind: str = "PNG") -> bytes:
  file = io.BytesIO()
  options = {"lossless": True, "exact": True} if kind == "WEBP" else {}
  Image.fromarray(pixels).save(file, kind, **options)
  return file.getvalue()


def cutout(value: int = 200) -> np.ndarray:
  """Eight by six pixels, of which the middle half can be seen."""
  pixels = np.full((8, 6, 4), value, np.uint8)
  pixels[..., 3] = 0
  pixels[2:6, :, 3] = 255
  return pixels


def write_rcc(
  path: pathlib.Path, files: dict[str, bytes], *, version: int = 3, flags: int = 0
) -> None:
  """Writes an archive as Qt's `rcc` does: the tree breadth first, then data, names.

  Args:
    path: the archive.
    files: contents by path.
    version: of the format.
    flags: 1 to compress the files.
  """
  tree: dict = {}
  for name, content in files.items():
    *folders, last = name.split("/")
    here = tree
    for folder in folders:
      here = here.setdefault(folder, {})
    here[last] = content
  nodes, names, data = b"", b"", b""
  queue = [("", tree)]
  number = 1  # of nodes that have a place
  for name, value in queue:
    offset = len(names)
    if nodes:
      names += struct.pack(">HI", len(name), 7) + name.encode("utf-16-be")
    if isinstance(value, dict):
      nodes += struct.pack(">IHII", offset, 2, len(value), number)
      number += len(value)
      queue += value.items()
    else:
      nodes += struct.pack(">IHHHI", offset, flags, 0, 0, len(data))
      if flags & 1:
        value = struct.pack(">I", len(value)) + zlib.compress(value)
      data += struct.pack(">I", len(value)) + value
    if version >= 2:
      nodes += struct.pack(">Q", 0)
  start = 20 + (4 if version >= 3 else 0)
  places = (start, start + len(nodes), start + len(nodes) + len(data))
  header = b"qres" + struct.pack(">4I", version, *places)
  header += struct.pack(">I", flags) if version >= 3 else b""
  path.parent.mkdir(parents=True, exist_ok=True)
  path.write_bytes(header + nodes + data + names)
