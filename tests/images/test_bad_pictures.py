"""Unusual picture files: decoded ones have the right values, the others a reason."""

import io
import struct
import warnings
import zlib

import numpy as np
import pytest
from PIL import Image

from milan_jax._src.images.folder import FolderImages
from milan_jax._src.images.geometry import Geometry
from milan_jax._src.images.loader import batches
from milan_jax._src.images.picture_files import load_picture
from milan_jax._src.images.source import UnreadableImageError

GEOMETRY = Geometry(8, 8)


def encoded(image, kind, **options):
  file = io.BytesIO()
  image.save(file, kind, **options)
  return file.getvalue()


def plain(size=(8, 8), color=(200, 100, 50), mode="RGB"):
  return Image.new(mode, size, color)


def png(width, height, depth, color, rows):
  """A PNG file from raw rows, written by hand: Pillow cannot write 48-bit color."""

  def chunk(kind, content):
    checksum = struct.pack(">I", zlib.crc32(kind + content))
    return struct.pack(">I", len(content)) + kind + content + checksum

  header = struct.pack(">IIBBBBB", width, height, depth, color, 0, 0, 0)
  packed = zlib.compress(b"".join(b"\0" + row for row in rows))
  chunks = chunk(b"IHDR", header) + chunk(b"IDAT", packed) + chunk(b"IEND", b"")
  return b"\x89PNG\r\n\x1a\n" + chunks


def vast_jpeg(side, dark, light, **options):
  """A gray JPEG of side x side pixels, dark above and light below.

  Its rows of blocks repeat those of two small files: with a restart after each row they
  are independent.
  """
  scans = []
  for value in (dark, light):
    row = plain((side, 8), value, "L")
    whole = encoded(row, "jpeg", restart_marker_rows=1, **options)
    start = whole.index(b"\xff\xda")
    start += 2 + int.from_bytes(whole[start + 2 : start + 4], "big")
    head, scan = whole[:start], whole[start:-2]
    scans.append(scan)
  frame = head.index(b"\xff\xc0") + 5
  head = head[:frame] + struct.pack(">H", side) + head[frame + 2 :]
  number = side // 8
  body = b"".join(
    scans[2 * row // number] + bytes([0xFF, 0xD0 + row % 8]) for row in range(number)
  )
  return head + body[:-2] + b"\xff\xd9"


def palette():
  image = Image.fromarray(np.zeros((8, 8), np.uint8), "P")
  image.putpalette([200, 100, 50])
  return image


def sixteen_bits(channels):
  pixel = np.array([200, 100, 50][:channels], ">u2") * 257
  return [pixel.tobytes() * 8] * 8


def animated(kind):
  frames = [plain(color=(0, 0, 255)), plain(color=(0, 255, 0))]
  return encoded(plain(), kind, save_all=True, append_images=frames, **lossless(kind))


def lossless(kind):
  return {"lossless": True} if kind == "webp" else {}


GRAY = (200, 200, 200)
READABLE = {
  "rgb.png": (lambda: encoded(plain(), "png"), (200, 100, 50), 0),
  "rgb.jpg": (lambda: encoded(plain(), "jpeg", quality=95), (200, 100, 50), 3),
  "wrongly_named.png": (lambda: encoded(plain(), "bmp"), (200, 100, 50), 0),
  "cmyk.jpg": (
    lambda: encoded(plain(color=(55, 155, 205, 0), mode="CMYK"), "jpeg", quality=95),
    *((200, 100, 50), 3),
  ),
  "palette.png": (lambda: encoded(palette(), "png"), (200, 100, 50), 0),
  "palette.gif": (lambda: encoded(palette(), "gif"), (200, 100, 50), 0),
  "gray.png": (lambda: encoded(plain(color=200, mode="L"), "png"), GRAY, 0),
  "bits.png": (lambda: encoded(plain(color=1, mode="1"), "png"), (255, 255, 255), 0),
  "gray16.png": (lambda: png(8, 8, 16, 0, sixteen_bits(1)), GRAY, 0),
  # Pillow itself keeps the upper half of 16-bit color.
  "rgb16.png": (lambda: png(8, 8, 16, 2, sixteen_bits(3)), (200, 100, 50), 0),
  "rgba.png": (
    lambda: encoded(plain(color=(200, 100, 50, 51), mode="RGBA"), "png"),
    *((244, 224, 214), 1),
  ),
  "animated.gif": (lambda: animated("gif"), (200, 100, 50), 0),
  "animated.webp": (lambda: animated("webp"), (200, 100, 50), 0),
  "one.png": (lambda: encoded(plain((1, 1)), "png"), (200, 100, 50), 0),
  "one.jpg": (lambda: encoded(plain((1, 1)), "jpeg", quality=95), (200, 100, 50), 3),
  "tall.png": (lambda: encoded(plain((1, 20_000)), "png"), (200, 100, 50), 0),
  "wide.png": (lambda: encoded(plain((20_000, 1)), "png"), (200, 100, 50), 0),
  "tall.jpg": (
    lambda: encoded(plain((1, 20_000)), "jpeg", quality=95),
    *((200, 100, 50), 3),
  ),
  "wide.jpg": (
    lambda: encoded(plain((20_000, 1)), "jpeg", quality=95),
    *((200, 100, 50), 3),
  ),
}


@pytest.mark.parametrize("name", READABLE)
def test_odd_pictures_that_decode(tmp_path, name):
  content, expected, tolerance = READABLE[name]
  (tmp_path / name).write_bytes(content())
  for geometry in (GEOMETRY, Geometry(16, 12, "bilinear")):
    image = FolderImages(tmp_path, geometry).load(0)
    assert image.shape == (geometry.crop, geometry.crop, 3)
    whole = np.broadcast_to(expected, image.shape)
    np.testing.assert_allclose(image.astype(int), whole, atol=tolerance)


def tiff(pixels, **tags):
  """A TIFF file with other values of tags of one short: tags are numbers."""
  content = encoded(Image.fromarray(pixels), "tiff")
  for tag, (before, after) in tags.items():
    head = struct.pack("<HHI", int(tag.removeprefix("tag")), 3, 1)
    entry = head + struct.pack("<HH", before, 0)
    assert content.count(entry) == 1
    content = content.replace(entry, head + struct.pack("<HH", after, 0))
  return content


WHITE_IS_ZERO = {"tag262": (1, 0)}
COUNTS = np.arange(64).reshape(8, 8)


@pytest.mark.parametrize(
  ("content", "channels", "message"),
  [
    (lambda: tiff((COUNTS - 9).astype(np.int32)), 3, "from -9 to 54, and not of 16"),
    (lambda: tiff((COUNTS * 9999).astype(np.int32)), 1, "from 0 to 629937, and not"),
    (
      lambda: tiff((COUNTS * 999).astype(np.uint16), **WHITE_IS_ZERO),
      *(3, "count from white"),
    ),
    (
      lambda: encoded(Image.new("RGBX", (8, 8)), "tiff"),
      *(4, "of its 4 samples per pixel, 3 can be read, and the network takes 4"),
    ),
  ],
)
def test_samples_that_would_be_read_as_others(tmp_path, content, channels, message):
  (tmp_path / "a.tif").write_bytes(content())
  source = FolderImages(tmp_path, Geometry(8, 8, channels=channels))
  with pytest.raises(UnreadableImageError, match=message):
    source.load(0)


def test_samples_of_8_bits_that_count_from_white(tmp_path):
  pixels = COUNTS.astype(np.uint8)
  (tmp_path / "a.tif").write_bytes(tiff(pixels, **WHITE_IS_ZERO))
  found = FolderImages(tmp_path, Geometry(8, 8, channels=1)).load(0)
  np.testing.assert_array_equal(found[..., 0], 255 - pixels)


def truncated(kind):
  noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
  whole = encoded(Image.fromarray(noise), kind)
  return whole[: len(whole) // 2]


def corrupt_png():
  whole = bytearray(encoded(plain((64, 64)), "png"))
  at = whole.index(b"IDAT") + 6
  whole[at : at + 8] = b"rubbish!"
  return bytes(whole)


UNREADABLE = {
  "corrupt.png": (corrupt_png, "cannot be decoded"),
  "corrupt.jpg": (lambda: b"\xff\xd8\xff\xe0" + bytes(200), "cannot be decoded"),
  "truncated.jpg": (lambda: truncated("jpeg"), "truncated"),
  "truncated.png": (lambda: truncated("png"), "truncated"),
  "truncated.gif": (lambda: truncated("gif"), "truncated"),
  "truncated.webp": (lambda: truncated("webp"), "cannot be decoded"),
  "empty.png": (lambda: b"", "the file is empty"),
  "page.jpg": (lambda: b"<html>404</html>", "not a picture of a known format"),
  "drawing.png": (lambda: b"%!PS-Adobe-3.0 EPSF-3.0\n", "not a picture of a known"),
  "vast.png": (
    lambda: png(20_000, 20_000, 1, 0, [bytes(2_500)] * 20_000),
    "its 20000 x 20000 pixels exceed the limit of 89,478,485",
  ),
  "large.png": (
    lambda: png(10_000, 9_000, 1, 0, [bytes(1_250)] * 9_000),
    "its 10000 x 9000 pixels exceed",
  ),
}


def test_odd_pictures_that_do_not_decode_keep_their_positions(tmp_path):
  for number, (name, (content, _)) in enumerate(UNREADABLE.items()):
    (tmp_path / f"{number:02}-{name}").write_bytes(content())
    (tmp_path / f"{number:02}-z.png").write_bytes(encoded(plain(), "png"))
  (tmp_path / "99.png").symlink_to(tmp_path / "nowhere.png")
  with warnings.catch_warnings(record=True) as heard:
    warnings.simplefilter("always")
    (batch,) = batches(FolderImages(tmp_path, GEOMETRY), 2 * len(UNREADABLE) + 1)
  assert not heard
  assert batch.rows.tolist() == list(range(1, 2 * len(UNREADABLE), 2))
  assert (batch.inputs[batch.rows] == (200, 100, 50)).all()
  assert not np.delete(batch.inputs, batch.rows, axis=0).any()
  *odd, lost = batch.skipped
  assert (lost.name, lost.reason) == ("99.png", "there is no such file")
  for item, (name, (_, reason)) in zip(odd, UNREADABLE.items(), strict=True):
    assert item.name.endswith(name)
    assert reason in item.reason


@pytest.mark.parametrize("side", [9_600, 20_000])
def test_a_vast_jpeg_is_read_smaller(tmp_path, side):
  (tmp_path / "vast.jpg").write_bytes(vast_jpeg(side, 40, 200, quality=95))
  image = FolderImages(tmp_path, Geometry(64, 64)).load(0)
  # Bicubic swings a little around the edge in the middle.
  assert (image[:28] == 40).all()
  assert (image[36:] == 200).all()


def test_a_vast_jpeg_that_cannot_be_read_smaller(tmp_path):
  for geometry in (Geometry(None, 64), Geometry(9_000, 64)):
    with pytest.raises(UnreadableImageError, match="9600 x 9600 pixels"):
      load_picture(vast_jpeg(9_600, 40, 200), geometry)
  content = encoded(plain((9_600, 9_600), 40, "L"), "jpeg", progressive=True)
  with pytest.raises(UnreadableImageError, match="progressive"):
    load_picture(content, Geometry(64, 64))


@pytest.mark.parametrize("turns", range(1, 9))
def test_a_camera_that_was_turned(turns):
  pixels = np.zeros((8, 8, 3), np.uint8)
  pixels[:4, :4] = 255  # what is seen upright: the upper left corner is white
  stored = {
    1: pixels,
    2: pixels[:, ::-1],
    3: pixels[::-1, ::-1],
    4: pixels[::-1],
    5: pixels.swapaxes(0, 1),
    6: np.rot90(pixels),
    7: pixels.swapaxes(0, 1)[::-1, ::-1],
    8: np.rot90(pixels, -1),
  }[turns]
  exif = Image.Exif()
  exif[0x0112] = turns
  for kind in ("png", "webp", "tiff"):
    content = encoded(Image.fromarray(stored), kind, exif=exif, **lossless(kind))
    np.testing.assert_array_equal(load_picture(content, GEOMETRY), pixels)


def test_broken_metadata_around_a_whole_picture():
  content = encoded(plain(), "png", exif=b"Exif\0\0II*\0\x08\0\0\0\xff\xff\x12\x01")
  assert (load_picture(content, GEOMETRY) == (200, 100, 50)).all()
