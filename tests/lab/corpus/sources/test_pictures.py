import hashlib
import pickle
import zipfile

import numpy as np
import pytest

from milan_jax._src.errors import UserError
from milan_jax._src.lab.corpus.sources import named_photographs, stamps, textures
from milan_jax._src.lab.corpus.sources.picture import Picture, digest
from milan_jax._src.lab.corpus.sources.picture_names import Name, parse, picture_names
from tests.lab.corpus.sources import fakes

TABLES = ("stamp", "photograph", "kart_texture", "ufo_texture")


def _noise(seed: int, channels: int = 3) -> np.ndarray:
  rng = np.random.default_rng(seed)
  return rng.integers(0, 256, (8, 6, channels), np.uint8)


def _write(path, content: bytes):
  path.parent.mkdir(parents=True, exist_ok=True)
  path.write_bytes(content)


def test_a_table_is_read():
  head = "path\tshows\tlooks\tgroup\n"
  names = parse(head + "a/b.png\tbrick wall\tred, old\tc\ne.png\tduck\t\t\n")
  assert names == {
    "a/b.png": Name("brick wall", ("red", "old"), "c"),
    "e.png": Name("duck"),
  }
  for wrong in ("a\tduck\t\t\na\tduck\t\t\n", "a\t\t\t\n", "a: duck\n"):
    with pytest.raises(ValueError, match="expected"):
      parse(head + wrong)


@pytest.mark.parametrize("table", TABLES)
def test_our_tables_are_tidy(table):
  names = picture_names(table)
  assert len(names) > 100
  for path, name in names.items():
    assert path.endswith((".png", ".jpg", ".webp")), path
    assert name.what == name.what.lower().strip(), path
    assert all(" " not in word and word.islower() for word in name.words), path
    assert len(set(name.words)) == len(name.words), path


def test_near_copies_have_one_group_and_others_none_by_chance():
  stamp = picture_names("stamp")
  assert (
    stamp["vehicles/construction/dumper.png"].group
    == stamp["vehicles/construction/dumper_mirror.png"].group
    != ""
  )
  labels = [
    {name.group for name in picture_names(table).values() if name.group}
    for table in TABLES
  ]
  # Both games have this photograph of a cliff.
  assert "kart-rockMountain" in labels[2] & labels[3]
  assert not (labels[2] | labels[3]) & (labels[0] | labels[1])
  assert "jupiter" in labels[0] & labels[1]


def test_stamps_are_cutouts_with_their_names(tmp_path):
  folder = tmp_path / stamps.FOLDER
  duck = fakes.encoded(fakes.cutout())
  _write(folder / "animals/birds/duck.png", duck)
  _write(folder / "animals/birds/unknown.png", duck)
  # A gray picture with alpha is a cut-out too.
  crow = fakes.encoded(fakes.cutout(30)[..., [0, 3]])
  _write(folder / "animals/birds/crow.png", crow)
  package = fakes.package(stamps.PACKAGE, tmp_path)
  pictures = stamps.stamp_pictures(package)
  assert [(p.key, p.kind, p.what) for p in pictures] == [
    ("tuxpaint-stamps-default:animals/birds/crow.png", "cutout", "crow"),
    ("tuxpaint-stamps-default:animals/birds/duck.png", "cutout", "duck"),
  ]
  assert pictures[0].words == ("black",)
  assert pictures[1].group == pictures[1].key
  np.testing.assert_array_equal(pictures[0].load(), fakes.cutout(30))
  np.testing.assert_array_equal(pictures[1].load(), fakes.cutout())
  assert digest(pictures[1]) == hashlib.sha256(duck).hexdigest()
  again = pickle.loads(pickle.dumps(pictures))
  assert again == stamps.stamp_pictures(package) == pictures
  np.testing.assert_array_equal(again[1].load(), fakes.cutout())

  _write(folder / "animals/birds/crow.png", crow[:40])
  with pytest.raises(UserError, match=r"crow\.png cannot be decoded"):
    pictures[0].load()


def test_photographs_come_from_their_archives(tmp_path):
  prefix = named_photographs.PREFIX
  opaque = np.dstack([_noise(2), np.full((8, 6), 255, np.uint8)])
  folder = tmp_path / named_photographs.FOLDER
  bee, goat, earth = _noise(1), opaque, fakes.cutout()
  files = {
    f"{prefix}erase/resource/bee.webp": fakes.encoded(bee, "WEBP"),
    f"{prefix}erase/resource/goat.webp": fakes.encoded(goat, "PNG"),
    f"{prefix}erase/resource/unknown.webp": fakes.encoded(bee, "WEBP"),
    f"{prefix}erase/Erase.qml": b"text",
  }
  fakes.write_rcc(folder / "erase.rcc", files)
  files = {f"{prefix}solar_system/resource/earth.webp": fakes.encoded(earth, "WEBP")}
  fakes.write_rcc(folder / "solar_system.rcc", files)
  package = fakes.package(named_photographs.PACKAGE, tmp_path)
  pictures = named_photographs.named_photographs(package)
  assert [(p.key, p.kind, p.what, p.group) for p in pictures] == [
    (f"{package.name}:erase/resource/bee.webp", "photograph", "bee", pictures[0].key),
    (f"{package.name}:erase/resource/goat.webp", "photograph", "goat", pictures[1].key),
    (f"{package.name}:solar_system/resource/earth.webp", "cutout", "earth", "earth"),
  ]
  for picture, pixels in zip(pictures, (bee, goat[..., :3], earth), strict=True):
    np.testing.assert_array_equal(picture.load(), pixels)
  assert pickle.loads(pickle.dumps(pictures)) == pictures


def test_textures_come_from_a_folder_and_from_an_archive(tmp_path):
  grass, bricks = _noise(1), _noise(2)
  path = "textures/grass2.jpg"
  kart = fakes.encoded(grass, "PNG")
  _write(tmp_path / textures.KART_FOLDER / path, kart)
  _write(tmp_path / textures.KART_FOLDER / "textures/unknown.jpg", kart)
  (picture,) = textures.texture_pictures(fakes.package(textures.KART_PACKAGE, tmp_path))
  assert (picture.key, picture.kind) == (f"supertuxkart-data:{path}", "texture")
  assert picture.what == "grass"
  np.testing.assert_array_equal(picture.load(), grass)

  path = "ctp1/bricks_r_4.jpg"
  archive = tmp_path / textures.UFO_ARCHIVE
  archive.parent.mkdir(parents=True)
  content = fakes.encoded(bricks)
  with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as file:
    file.writestr(textures.UFO_PREFIX + path, content)
    file.writestr("textures/tex_ctp1/unknown.jpg", content)
  (picture,) = textures.texture_pictures(fakes.package(textures.UFO_PACKAGE, tmp_path))
  assert (picture.key, picture.what) == (f"ufoai-textures:{path}", "brick wall")
  assert digest(picture) == hashlib.sha256(content).hexdigest()
  np.testing.assert_array_equal(pickle.loads(pickle.dumps(picture)).load(), bricks)

  archive.write_bytes(b"no archive")
  with pytest.raises(UserError, match=r"0textures\.pk3 cannot be read"):
    picture.load()
  with pytest.raises(UserError, match=r"0textures\.pk3 cannot be read"):
    textures.texture_pictures(fakes.package(textures.UFO_PACKAGE, tmp_path))
  with pytest.raises(ValueError, match="expected one of"):
    textures.texture_pictures(fakes.package("another", tmp_path))


@pytest.mark.parametrize(
  ("find", "name"),
  [
    (stamps.stamp_pictures, stamps.PACKAGE),
    (named_photographs.named_photographs, named_photographs.PACKAGE),
    (textures.texture_pictures, textures.KART_PACKAGE),
    (textures.texture_pictures, textures.UFO_PACKAGE),
  ],
)
def test_a_package_without_its_pictures_is_an_error(tmp_path, find, name):
  with pytest.raises(UserError, match=f"none of the expected pictures of {name}"):
    find(fakes.package(name, tmp_path))


def test_a_picture_needs_no_file():
  pixels = _noise(3)
  picture = Picture("k", "texture", "grass", load=lambda: pixels)
  assert (picture.group, picture.words) == ("k", ())
  assert digest(picture) == hashlib.sha256(pixels.tobytes()).hexdigest()
  with pytest.raises(ValueError, match="expected a kind"):
    Picture("k", "painting", "grass", load=lambda: pixels)
