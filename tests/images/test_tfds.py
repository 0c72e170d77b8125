import importlib
import io
import json
import pickle
import shutil
import socket
import sys

import numpy as np
import pytest
from PIL import Image

from milan_jax._src.errors import UserError
from milan_jax._src.images.geometry import Geometry
from milan_jax._src.images.loader import batches, default_workers
from milan_jax._src.images.source import ImageSource, UnreadableImageError
from milan_jax._src.images.tfds import TfdsImages, _image_feature
from tests.images.test_tfrecord import write_records

tfds = pytest.importorskip("tensorflow_datasets")
pytest.importorskip("array_record")
pytest.importorskip("importlib_resources")

GEOMETRY = Geometry(8, 8)
# A builder lives in the file <name>_dataset_builder of a package <name>.
BUILDER = """
import io
import tensorflow_datasets as tfds
from PIL import Image

class Builder(tfds.core.GeneratorBasedBuilder):
  VERSION = tfds.core.Version("1.10.0")
  RELEASE_NOTES = {"1.10.0": "First."}

  def _info(self):
    features = tfds.features.FeaturesDict({
      "image": tfds.features.Image(shape=(None, None, 3)),
      "mask": tfds.features.Image(shape=(None, None, 1)),
      "label": tfds.features.ClassLabel(num_classes=3),
    })
    return tfds.core.DatasetInfo(builder=self, description="Tiny.", features=features)

  def _split_generators(self, dl_manager):
    return {"train": self._generate_examples(7), "test": self._generate_examples(2)}

  def _generate_examples(self, number):
    for index in range(number):
      file = io.BytesIO()
      Image.new("RGB", (12, 9), (30 * index, 0, index)).save(file, "png")
      content = b"rubbish" if number == 7 and index == 3 else file.getvalue()
      mask = io.BytesIO(b"never read")
      yield index, {"image": io.BytesIO(content), "mask": mask, "label": index % 3}
"""


@pytest.fixture(scope="module")
def home(tmp_path_factory):
  """A data_dir with one small data set, written as array_record."""
  packages = tmp_path_factory.mktemp("packages")
  (packages / "tiny_pictures").mkdir()
  (packages / "tiny_pictures/__init__.py").touch()
  (packages / "tiny_pictures/tiny_pictures_dataset_builder.py").write_text(BUILDER)
  data_dir = tmp_path_factory.mktemp("data")
  sys.path.insert(0, str(packages))
  tfds.disable_progress_bar()
  try:
    name = "tiny_pictures.tiny_pictures_dataset_builder"
    builder = importlib.import_module(name).Builder(data_dir=data_dir)
    builder.download_and_prepare(file_format="array_record")
  finally:
    sys.path.remove(str(packages))
  return data_dir


@pytest.fixture(autouse=True)
def no_network(monkeypatch):
  def refuse(*_):
    raise AssertionError("the network was asked")

  monkeypatch.setattr(socket.socket, "connect", refuse)


def expected(home, split):
  """Red values in the library's own order."""
  source = tfds.builder_from_directory(home / "tiny_pictures/1.10.0").as_data_source(
    split, deserialize_method=tfds.decode.DeserializeMethod.RAW_BYTES
  )
  found = []
  for record in source:
    start = record.find(b"\x89PNG")
    if start >= 0:
      with Image.open(io.BytesIO(record[start:])) as image:
        found.append(image.getpixel((0, 0))[0])
    else:
      found.append(None)
  return found


def test_by_name_version_and_folder(home, monkeypatch):
  version = home / "tiny_pictures/1.10.0"
  reds = expected(home, "train")
  assert sorted(red for red in reds if red) == [30, 60, 120, 150, 180]
  for name in ("tiny_pictures", "tiny_pictures:1.10.0", version, str(version.parent)):
    source = TfdsImages(name, GEOMETRY, split="train", data_dir=home)
    assert isinstance(source, ImageSource)
    assert len(source) == 7
    assert source.name(4) == "train/4"
    for index, red in enumerate(reds):
      if red is None:
        with pytest.raises(
          UnreadableImageError, match="not a picture of a known format"
        ):
          source.load(index)
      else:
        image = source.load(index)
        np.testing.assert_array_equal(
          image, np.broadcast_to([red, 0, red // 30], (8, 8, 3))
        )
  assert "tensorflow" not in sys.modules
  part = TfdsImages("tiny_pictures", GEOMETRY, split="train[5:]+test", data_dir=home)
  reds = expected(home, "train")[5:] + expected(home, "test")
  assert [part.load(index)[0, 0, 0] for index in range(4)] == reds
  files = dict(part.files())
  assert all(path.is_file() for path in files.values())
  assert [name.split("-")[1] for name in list(files)[1:]] == [
    "train.array_record",
    "test.array_record",
  ]


def test_a_record_that_cannot_be_decoded_is_skipped_in_workers(home):
  source = TfdsImages("tiny_pictures", GEOMETRY, split="train", data_dir=home)
  assert source.decodes_files
  assert default_workers(source) == 0
  reds = expected(home, "train")
  for workers in (0, 1):
    (batch,) = batches(source, 8, workers=workers)
    values = [red or 0 for red in reds] + [0]
    assert batch.inputs[:, 0, 0, 0].tolist() == values
    assert [item.image_id for item in batch.skipped] == [reds.index(None)]
  assert len(pickle.dumps(source)) < 1000


def test_what_is_not_prepared(home, tmp_path, monkeypatch):
  def message(name, data_dir=home, split="train"):
    with pytest.raises(UserError) as error:
      TfdsImages(name, GEOMETRY, split=split, data_dir=data_dir)
    return str(error.value)

  found = message("beans:0.1.0")
  assert f"beans:0.1.0 is not prepared in {home}" in found
  assert 'download_and_prepare(file_format="array_record")' in found
  assert "tfds.builder('beans:0.1.0'" in found
  assert "there is version 1.10.0" in message("tiny_pictures:2.0.0")
  assert "No prepared data set in" in message(tmp_path)
  assert "splits are train, test" in message("tiny_pictures", split="valid")
  assert "splits are train, test" in message("tiny_pictures", split="train[")
  assert "splits are train, test" in message("tiny_pictures", split="train[7:]")
  monkeypatch.setitem(sys.modules, "tensorflow_datasets", None)
  assert "pip install 'milan-jax[tfds]'" in message("tiny_pictures")


def test_configurations_and_versions(home, tmp_path):
  version = home / "tiny_pictures/1.10.0"
  one = tmp_path / "many/plain/1.0.0"
  shutil.copytree(version, one)
  for name in ("many", "many/plain", "many/plain:1.0.0"):
    assert len(TfdsImages(name, GEOMETRY, split="test", data_dir=tmp_path)) == 2
  shutil.copytree(version, tmp_path / "many/other/1.9.0")
  shutil.copytree(version, tmp_path / "many/other/1.10.0")
  with pytest.raises(UserError, match="many/other or many/plain"):
    TfdsImages("many", GEOMETRY, split="test", data_dir=tmp_path)
  newest = TfdsImages("many/other", GEOMETRY, split="test", data_dir=tmp_path)
  assert newest._folder == tmp_path / "many/other/1.10.0"


def as_tfrecord(home, folder, lengths):
  """The same examples in the same order, as TensorFlow would have stored them."""
  shutil.copytree(
    home / "tiny_pictures/1.10.0",
    folder,
    ignore=shutil.ignore_patterns("*array_record*"),
  )
  about = json.loads((folder / "dataset_info.json").read_text())
  for split in about["splits"]:
    split["shardLengths"] = [str(length) for length in lengths[split["name"]]]
  (folder / "dataset_info.json").write_text(
    json.dumps({**about, "fileFormat": "tfrecord"})
  )
  source = tfds.builder_from_directory(home / "tiny_pictures/1.10.0").as_data_source(
    deserialize_method=tfds.decode.DeserializeMethod.RAW_BYTES
  )
  splits = tfds.builder_from_directory(folder).info.splits
  for name, split in splits.items():
    records = iter(source[name])
    for path, length in zip(split.filepaths, lengths[name], strict=True):
      write_records(path, [bytes(next(records)) for _ in range(length)])
  return folder


@pytest.fixture(scope="module")
def tfrecord(home, tmp_path_factory):
  folder = tmp_path_factory.mktemp("tf") / "tiny_pictures/1.10.0"
  return as_tfrecord(home, folder, {"train": [3, 1, 3], "test": [2]})


@pytest.mark.parametrize(
  "split", ["train", "train[:10%]", "train[2:5]", "train[5:]+test", "train+train[1:3]"]
)
def test_tfrecord_is_read_as_array_record_is(home, tfrecord, split):
  assert (tfrecord / "tiny_pictures-train.tfrecord-00001-of-00003").is_file()
  source = TfdsImages(tfrecord, GEOMETRY, split=split)
  assert source.decodes_files
  same = TfdsImages("tiny_pictures", GEOMETRY, split=split, data_dir=home)
  assert [source.name(index) for index in range(len(source))] == [
    same.name(index) for index in range(len(same))
  ]
  reds = expected(home, split)
  assert len(source) == len(reds)
  for index, red in enumerate(reds):
    if red is None:
      with pytest.raises(UnreadableImageError, match="not a picture of a known format"):
        source.load(index)
    else:
      np.testing.assert_array_equal(source.load(index), same.load(index))
  assert "tensorflow" not in sys.modules


def test_tfrecord_in_workers_and_by_pickle(home, tfrecord):
  source = TfdsImages(tfrecord, GEOMETRY, split="train")
  reds = expected(home, "train")
  for workers in (0, 1):
    (batch,) = batches(source, 8, workers=workers)
    assert batch.inputs[:, 0, 0, 0].tolist() == [red or 0 for red in reds] + [0]
    assert [item.image_id for item in batch.skipped] == [reds.index(None)]
  assert len(pickle.dumps(source)) < 2000


def test_tfrecord_files_that_are_not_as_they_should_be(home, tmp_path):
  folder = as_tfrecord(home, tmp_path / "1.10.0", {"train": [4, 3], "test": [2]})
  first, second = sorted(folder.glob("*train*"))
  with pytest.raises(UserError, match="splits are train, test"):
    TfdsImages(folder, GEOMETRY, split="valid")
  with pytest.raises(UserError, match="is empty"):
    TfdsImages(folder, GEOMETRY, split="train[7:]")
  source = TfdsImages(folder, GEOMETRY, split="train")
  content = second.read_bytes()
  second.write_bytes(content[:-1])
  with pytest.raises(UserError, match="00001-of-00002 is truncated or corrupt"):
    TfdsImages(folder, GEOMETRY, split="train")
  with pytest.raises(UserError, match="00001-of-00002 was changed"):
    source.load(6)
  second.write_bytes(first.read_bytes())
  with pytest.raises(UserError, match="expected 3 records, found 4"):
    TfdsImages(folder, GEOMETRY, split="train")
  second.unlink()
  with pytest.raises(UserError, match=r"00001-of-00002 cannot be read \(No such file"):
    TfdsImages(folder, GEOMETRY, split="train")
  assert len(TfdsImages(folder, GEOMETRY, split="train[:4]")) == 4


@pytest.mark.parametrize("first", ["riegeli", "tfrecord"])
def test_of_several_formats_one_that_can_be_read(home, tfrecord, tmp_path, first):
  """The files of all formats are in one folder; the metadata states the first."""
  shutil.copytree(tfrecord, tmp_path / "1.10.0")
  about = json.loads((tfrecord / "dataset_info.json").read_text())
  formats = {"fileFormat": first, "alternativeFileFormats": ["tfrecord", "riegeli"]}
  (tmp_path / "1.10.0/dataset_info.json").write_text(json.dumps({**about, **formats}))
  assert len(TfdsImages(tmp_path, GEOMETRY, split="train")) == 7


def test_a_format_that_needs_tensorflow(home, tmp_path):
  folder = tmp_path / "tiny_pictures/1.10.0"
  shutil.copytree(home / "tiny_pictures/1.10.0", folder)
  about = json.loads((folder / "dataset_info.json").read_text())

  def message(file_format):
    (folder / "dataset_info.json").write_text(
      json.dumps({**about, "fileFormat": file_format})
    )
    with pytest.raises(UserError) as error:
      TfdsImages(folder, GEOMETRY, split="train")
    return str(error.value)

  found = message("riegeli")
  assert "stored as riegeli" in found
  assert "pip install tensorflow" in found
  assert 'file_format="array_record"' in found
  found = message("unheard_of")
  assert "'unheard_of' is not a valid FileFormat" in found
  assert 'file_format="array_record"' in found


def test_which_feature_is_the_image(tmp_path):
  features = tfds.features
  image, text = features.Image(shape=(None, None, 3)), features.Text()

  def feature(**each):
    return _image_feature(features.FeaturesDict(each), tfds, tmp_path)[0]

  assert feature(photo=image, text=text) == "photo"
  assert feature(photo=image, image=features.Image()) == "image"
  with pytest.raises(UserError, match=r"left \(Image\), right \(Image\)"):
    feature(left=image, right=features.Image())
  with pytest.raises(UserError, match=r"are text \(Text\)"):
    feature(text=text)
  with pytest.raises(UserError, match=r"found .*float32"):
    feature(depth=features.Image(shape=(None, None, 1), dtype=np.float32))
