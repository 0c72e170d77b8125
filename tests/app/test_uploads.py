"""Uploads: what is refused, and what arrives."""

import base64
import io
import json
import tempfile

import numpy as np
import pytest
from PIL import Image

from milan_jax._src.app import uploads
from milan_jax._src.errors import UserError
from tests.app.pictures import BAD, bomb, png, url


def _prepare(data, name="a.png"):
  return uploads.prepare({"name": name, "data": base64.b64encode(data).decode()})


def _pixels(found):
  return np.asarray(
    Image.open(io.BytesIO(base64.b64decode(found.partition(",")[2]))).convert("RGB")
  )


def test_a_picture_arrives_as_its_central_square():
  data = png(300, 200)
  found = _prepare(data)
  # As Pillow does it: the shorter side to 224, then the middle of the longer.
  image = Image.open(io.BytesIO(data)).resize((336, 224), Image.Resampling.BICUBIC)
  expected = np.asarray(image.crop((56, 0, 280, 224)))
  assert found["name"] == "a.png"
  np.testing.assert_array_equal(_pixels(found["picture"]), expected)


@pytest.mark.parametrize("kind", BAD)
def test_bad_pictures_are_refused_by_name(kind):
  data, message = BAD[kind]
  found = _prepare(data, "<b>.png")
  assert set(found) == {"error"} and found["error"].startswith("<b>.png: ")
  assert message in found["error"]


@pytest.mark.parametrize(
  "upload",
  [None, [], "text", {}, {"name": 3, "data": 4}, {"name": "a", "data": "*not base64*"}],
)
def test_what_is_not_an_upload_is_refused(upload):
  assert set(uploads.prepare(upload)) == {"error"}


def _mask(painted=(), size=uploads.SIZE):
  alpha = np.zeros((size, size, 4), np.uint8)
  if painted:
    top, left, bottom, right = painted
    alpha[top:bottom, left:right] = (255, 221, 0, 255)
  buffer = io.BytesIO()
  Image.fromarray(alpha).save(buffer, "PNG")
  return url(buffer.getvalue())


def _item(painted=(), **changes):
  item = {"name": "a.png", "picture": url(png(224, 224)), "mask": _mask(painted)}
  return item | changes


def test_regions_are_what_is_painted_or_all():
  items = [_item((10, 20, 30, 50)), _item()]
  images, masks = uploads.read_regions(json.dumps(items))
  expected = np.zeros((224, 224), bool)
  expected[10:30, 20:50] = True
  np.testing.assert_array_equal(masks[0], expected)
  assert masks[1].all()
  pixels = np.asarray(Image.open(io.BytesIO(png(224, 224))))
  np.testing.assert_array_equal(images[0], pixels)


@pytest.mark.parametrize(
  ("value", "message"),
  [
    (None, "Choose at least one picture"),
    ("", "Choose at least one picture"),
    ("[]", "Choose at least one picture"),
    ("{", "expected a list"),
    ("[" * 100_000, "expected a list"),
    ('{"a": 1}', "expected a list"),
    ("[1]", "expected names and files"),
    (json.dumps([_item()] * 20), "expected at most 15; found 20"),
    (json.dumps([_item(picture="https://example.org/a.png")]), "expected a PNG file"),
    (json.dumps([_item(picture="file:///etc/passwd")]), "expected a PNG file"),
    (json.dumps([_item(picture=url(bomb()))]), "60,000 x 60,000 pixels"),
    (json.dumps([_item(mask=url(bomb()))]), "the region did not arrive whole"),
    (json.dumps([_item(mask=_mask(size=100))]), "region has another size"),
    (json.dumps([_item(mask=url(png()[:300]))]), "region"),
    (json.dumps([_item(mask=None)]), "expected a PNG file"),
  ],
)
def test_bad_regions_are_refused(value, message):
  with pytest.raises(UserError, match=message):
    uploads.read_regions(value)


def test_nothing_is_written(tmp_path, monkeypatch):
  monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
  monkeypatch.chdir(tmp_path)
  _prepare(png())
  uploads.read_regions(json.dumps([_item()]))
  assert not list(tmp_path.iterdir())
