import pytest

from milan_jax._src.errors import UserError
from milan_jax._src.lab.corpus.sources.qt_resources import QtResources
from tests.lab.corpus.sources import fakes

FILES = {"a/b/ä.txt": b"one" * 50, "c.txt": b"", "a/d.bin": bytes(range(256))}


@pytest.mark.parametrize("version", [1, 2, 3])
@pytest.mark.parametrize("flags", [0, 1])
def test_files_come_back(tmp_path, version, flags):
  path = tmp_path / "x.rcc"
  fakes.write_rcc(path, FILES, version=version, flags=flags)
  resources = QtResources(path)
  assert resources.names() == sorted(FILES)
  assert {name: resources.read(name) for name in FILES} == FILES
  with pytest.raises(KeyError):
    resources.read("missing")


def test_zstd_is_an_error_that_says_what_is_read(tmp_path):
  fakes.write_rcc(tmp_path / "x.rcc", FILES, flags=4)
  with pytest.raises(UserError, match=r"c\.txt in .* zstd.* expected zlib"):
    QtResources(tmp_path / "x.rcc").read("c.txt")


def test_other_and_damaged_files_are_errors(tmp_path):
  path = tmp_path / "x.rcc"
  with pytest.raises(UserError, match="cannot be read"):
    QtResources(path)
  path.write_bytes(b"PK")
  with pytest.raises(UserError, match="not a Qt resource archive"):
    QtResources(path)
  fakes.write_rcc(path, FILES)
  path.write_bytes(path.read_bytes()[:40])
  with pytest.raises(UserError, match="is damaged"):
    QtResources(path)
  fakes.write_rcc(path, {"a": b"0123456789"}, flags=1)
  resources = QtResources(path)
  path.write_bytes(path.read_bytes()[:-20])
  with pytest.raises(UserError, match=r"a in .* is damaged"):
    resources.read("a")
