"""Picture files for uploads, good and bad."""

import base64
import io
import struct
import zlib

import numpy as np
from PIL import Image

from milan_jax._src.app.uploads import MAX_BYTES


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


def upload(name, data):
  """A file as Playwright chooses one."""
  return {"name": name, "mimeType": "image/png", "buffer": data}


def tiff():
  """A picture of a format that browsers do not show."""
  buffer = io.BytesIO()
  Image.new("RGB", (20, 20)).save(buffer, "TIFF")
  return buffer.getvalue()


# What is refused, and with what words.
BAD = {
  "empty": (b"", "the file is empty"),
  "text": (b"no picture at all, but text", "not a picture of a known format"),
  "svg": (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "not a picture"),
  "tiff": (tiff(), "not a picture of a known format"),
  "cut": (png()[:400], "cannot be decoded"),
  "header": (chunks(8, 8)[:40], "cannot be decoded"),
  "bomb": (bomb(), "60,000 x 60,000 pixels exceed the limit of 25,000,000"),
  "text_bomb": (text_bomb(), "cannot be decoded"),
  "large": (b"\x89PNG" + bytes(MAX_BYTES), "MB; found 10.0 MB"),
  "huge": (bytes(2 * MAX_BYTES), "MB; found 20.0 MB"),
}
