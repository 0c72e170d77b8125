import io
import pathlib
import pickle
import shutil
import socket
import sys

import numpy as np
import pytest
from PIL import Image

from milan_jax._src.errors import UserError
from milan_jax._src.images.geometry import Geometry
from milan_jax._src.images.hugging_face import HuggingFaceImages
from milan_jax._src.images.loader import batches
from milan_jax._src.images.source import ImageSource

datasets = pytest.importorskip("datasets")

GEOMETRY = Geometry(8, 8)


@pytest.fixture(autouse=True)
def alone(monkeypatch):
  def refuse(*_):
    raise AssertionError("the network was asked")

  monkeypatch.setattr(socket.socket, "connect", refuse)
  datasets.disable_progress_bars()


def png(value):
  file = io.BytesIO()
  Image.new("RGB", (12, 9), (value, 0, 0)).save(file, "png")
  return {"bytes": file.getvalue(), "path": f"{value}.png"}


def made(rows, **more):
  columns = {"image": rows, "label": list(range(len(rows)))}
  kinds = {"image": datasets.Image(), "label": datasets.Value("int64")}
  for name in more:
    columns[name], kinds[name] = rows, datasets.Image()
  return datasets.Dataset.from_dict(columns, features=datasets.Features(kinds))


ROWS = [png(10), png(20), {"bytes": b"rubbish", "path": None}, None, png(50)]


@pytest.mark.parametrize("workers", [0, 1])
def test_images_of_a_saved_data_set(tmp_path, workers):
  made(ROWS).save_to_disk(tmp_path / "saved")
  source = HuggingFaceImages(tmp_path / "saved", GEOMETRY)
  assert isinstance(source, ImageSource)
  assert source.name(4) == "4"
  files = dict(source.files())
  assert sorted(files)[0].endswith(".arrow") and all(
    map(pathlib.Path.is_file, files.values())
  )
  (batch,) = batches(source, 8, workers=workers)
  expected = np.zeros((8, 8, 8, 3), np.uint8)
  expected[[0, 1, 4], ..., 0] = np.array([10, 20, 50])[:, None, None]
  np.testing.assert_array_equal(batch.inputs, expected)
  found = [(item.name, item.reason[:20]) for item in batch.skipped]
  assert found == [("2", "it is not a picture "), ("3", "the data set has no ")]
  assert len(pickle.dumps(source)) < 1000


def test_a_saved_part_of_a_data_set_and_its_order(tmp_path):
  made([png(value) for value in (10, 20, 30)]).select([2, 0]).save_to_disk(
    tmp_path / "a"
  )
  source = HuggingFaceImages(tmp_path / "a", GEOMETRY)
  assert [int(source.load(index)[0, 0, 0]) for index in range(2)] == [30, 10]


def test_splits(tmp_path):
  parts = {"train": made([png(10), png(20)]), "test": made([png(30)])}
  datasets.DatasetDict(parts).save_to_disk(tmp_path / "both")
  source = HuggingFaceImages(tmp_path / "both", GEOMETRY, split="train")
  assert (source.name(1), source.load(1)[0, 0, 0]) == ("train/1", 20)
  with pytest.raises(UserError, match="splits train, test: choose one"):
    HuggingFaceImages(tmp_path / "both", GEOMETRY)
  with pytest.raises(UserError, match="'valid' is not one of them"):
    HuggingFaceImages(tmp_path / "both", GEOMETRY, split="valid")
  datasets.DatasetDict({"only": parts["test"]}).save_to_disk(tmp_path / "one")
  assert HuggingFaceImages(tmp_path / "one", GEOMETRY).name(0) == "only/0"
  with pytest.raises(UserError, match="has no splits"):
    HuggingFaceImages(tmp_path / "both/train", GEOMETRY, split="train")


def test_files_that_a_data_set_only_names(tmp_path):
  Image.new("RGB", (9, 9), (70, 0, 0)).save(tmp_path / "a.png")
  paths = [str(tmp_path / "a.png"), str(tmp_path / "b.png")]
  (tmp_path / "b.png").write_bytes((tmp_path / "a.png").read_bytes())
  made(paths).save_to_disk(tmp_path / "saved")
  source = HuggingFaceImages(tmp_path / "saved", GEOMETRY)
  assert source.load(1)[0, 0, 0] == 70


def test_which_column_is_the_image(tmp_path):
  made(ROWS, other=True).save_to_disk(tmp_path / "two")
  assert HuggingFaceImages(tmp_path / "two", GEOMETRY).load(1)[0, 0, 0] == 20
  made(ROWS, other=True).rename_column("image", "left").save_to_disk(tmp_path / "odd")
  with pytest.raises(UserError, match=r"left \(Image\), label \(Value\), other"):
    HuggingFaceImages(tmp_path / "odd", GEOMETRY)
  made(ROWS).remove_columns("image").save_to_disk(tmp_path / "none")
  with pytest.raises(UserError, match=r"columns are label \(Value\)"):
    HuggingFaceImages(tmp_path / "none", GEOMETRY)


def test_what_is_no_saved_data_set(tmp_path, monkeypatch):
  with pytest.raises(UserError, match=r"was not written by save_to_disk.*load_dataset"):
    HuggingFaceImages(tmp_path, GEOMETRY)
  made(ROWS).save_to_disk(tmp_path / "saved")
  shutil.copytree(tmp_path / "saved", tmp_path / "torn")
  (tmp_path / "torn/data-00000-of-00001.arrow").write_bytes(b"torn")
  with pytest.raises(UserError, match="damaged or empty"):
    HuggingFaceImages(tmp_path / "torn", GEOMETRY)
  made([]).save_to_disk(tmp_path / "empty")
  with pytest.raises(UserError, match="damaged or empty"):
    HuggingFaceImages(tmp_path / "empty", GEOMETRY)
  monkeypatch.setitem(sys.modules, "datasets", None)
  with pytest.raises(UserError, match=r"pip install 'milan-jax\[datasets\]'"):
    HuggingFaceImages(tmp_path / "saved", GEOMETRY)
