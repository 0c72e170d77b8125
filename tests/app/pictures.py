"""Picture files for uploads, good and bad."""

import base64
import io
import struct
import zlib

import numpy as np
from PIL import Image


def png(width=300, height=200, seed=0):
  """A PNG file of noise."""
  rng = np.random.default_rng(seed)
  buffer = io.BytesIO()
  pixels = rng.integers(0, 256, (height, width, 3), np.uint8)
  Image.fromarray(pixels).save(buffer, "PNG")
  return buffer.getvalue()


def chunks(width, height, *others):
  """A PNG file of one bit per pixel whose rows are missing but for some zeros."""

  def chunk(kind, data):
    body = kind + data
    return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))

  header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
  rows = zlib.compress(bytes(1000))
  return b"".join(
    [
      b"\x89PNG\r\n\x1a\n",
      chunk(b"IHDR", header),
      *(chunk(*other) for other in others),
      chunk(b"IDAT", rows),
      chunk(b"IEND", b""),
    ]
  )


def bomb():
  """A small PNG file of 3.6 billion pixels."""
  return chunks(60_000, 60_000)


def text_bomb():
  """A small PNG file with a text of 200 MB."""
  return chunks(8, 8, (b"zTXt", b"a\0\0" + zlib.compress(bytes(200_000_000))))


def url(data):
  """A file as browsers send one."""
  return f"data:image/png;base64,{base64.b64encode(data).decode()}"
