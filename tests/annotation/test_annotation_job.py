"""From a small store to sheets, and from answers to annotations, by the command."""

import csv

import numpy as np
import pytest
from PIL import Image

from milan_jax._src.annotation.agreement import content_f1
from milan_jax._src.store.annotations import read_annotations
from tests.helpers.commands import run_here
from tests.helpers.sheet_stores import UNITS, K, statistics, write_store

NOTHING = "Nothing in common."


@pytest.fixture(scope="module")
def stores(tmp_path_factory):
  folder = tmp_path_factory.mktemp("stores")
  for number, name in enumerate(("first", "second")):
    layers = {
      layer: statistics(number + more, off=(2,)) for layer, more in (("a", 0), ("b", 9))
    }
    write_store(folder / name / "exemplars", layers)
  return folder


def _draw(stores, workdir, *options):
  folders = ",".join(str(stores / name / "exemplars") for name in ("first", "second"))
  return run_here(
    "annotate", f"--exemplars={folders}", f"--workdir={workdir}", *options
  )


def _rows(path):
  with path.open(newline="") as file:
    return list(csv.DictReader(file))


def _write(path, rows):
  path.write_text(
    "sheet,letter,summary\n" + "".join(f'{s},{c},"{text}"\n' for s, c, text in rows)
  )
  return path


@pytest.fixture
def drawn(stores, tmp_path):
  found = _draw(stores, tmp_path / "work", "--num_units=8", "--twice=4")
  assert found.returncode == 0, found.stderr
  return tmp_path / "work"


def test_units_are_drawn_evenly_and_put_in_random_order(stores, drawn, tmp_path):
  key = _rows(drawn / "key.csv")
  units = [(row["run"], row["layer"], int(row["unit"])) for row in key]
  assert len(units) == 16 + 4 and len(set(units[:16])) == 16
  for run in ("first", "second"):
    for layer in ("a", "b"):
      inside = [unit for unit in units[:16] if unit[:2] == (run, layer)]
      assert len(inside) == 4
      assert all(unit[2] > 1 for unit in inside), "dead, or with too few regions"
  assert len(set(units[16:])) == 4, "the second set begins on a sheet of its own"
  sheets = [int(row["sheet"]) for row in key]
  assert sheets == [1] * 6 + [2] * 6 + [3] * 4 + [4] * 4
  assert "".join(row["letter"] for row in key) == "ABCDEFABCDEFABCDABCD"
  assert all((row["sign"] == "off") == (row["unit"] == "2") for row in key)
  assert units[:16] != sorted(units[:16])
  assert sorted(path.name for path in (drawn / "sheets").iterdir()) == [
    f"00{number}.png" for number in range(1, 5)
  ]
  answers = _rows(drawn / "answers.csv")
  assert [(row["sheet"], row["letter"], row["summary"]) for row in answers] == [
    (row["sheet"], row["letter"], "") for row in key
  ]
  again = tmp_path / "again"
  _draw(stores, again, "--num_units=8", "--twice=4")
  for path in ("key.csv", "answers.csv", "sheets/003.png"):
    assert (again / path).read_bytes() == (drawn / path).read_bytes()
  other = tmp_path / "other"
  _draw(stores, other, "--num_units=8", "--twice=4", "--seed=1")
  assert (other / "key.csv").read_bytes() != (drawn / "key.csv").read_bytes()


def test_all_units_are_drawn_where_no_number_is_given(stores, tmp_path):
  found = _draw(stores, tmp_path, "--units_per_sheet=4")
  assert found.returncode == 0
  assert f"skipped 8 of {4 * UNITS} units: dead" in found.stderr
  key = _rows(tmp_path / "key.csv")
  assert len(key) == 4 * (UNITS - 2)
  assert {row["letter"] for row in key} == set("ABCD")


def test_a_share_of_the_units_is_off(stores, tmp_path):
  for share, number in ((0, 0), (0.25, 1), (1, 2)):
    workdir = tmp_path / str(share)
    found = _draw(stores, workdir, "--num_units=4", f"--off_share={share}")
    assert found.returncode == 0, found.stderr
    signs = [(row["run"], row["sign"]) for row in _rows(workdir / "key.csv")]
    # Of each folder; there is one such unit in each of two layers.
    assert len(signs) == 8
    assert signs.count(("first", "off")) == signs.count(("second", "off")) == number


def test_units_of_earlier_sheets_are_not_drawn_again(stores, drawn, tmp_path):
  found = _draw(stores, tmp_path / "more", f"--skip={drawn / 'key.csv'}")
  assert found.returncode == 0, found.stderr
  assert "dead, or with fewer than 5 regions, or listed by --skip" in found.stderr
  before, after = (
    {(row["run"], row["layer"], row["unit"]) for row in _rows(folder / "key.csv")}
    for folder in (drawn, tmp_path / "more")
  )
  assert len(before) == 16 and not before & after
  assert len(before | after) == 4 * (UNITS - 2)
  keys = f"--skip={drawn / 'key.csv'},{tmp_path / 'more' / 'key.csv'}"
  none = _draw(stores, tmp_path / "none", keys)
  assert none.returncode == 2 and "that --skip does not list" in none.stderr


def test_drawing_again_keeps_answers_and_refuses_other_units(stores, drawn):
  (drawn / "answers.csv").write_text("sheet,letter,summary\n1,A,dogs\n")
  before = (drawn / "sheets" / "002.png").read_bytes()
  (drawn / "sheets" / "002.png").unlink()
  assert _draw(stores, drawn, "--num_units=8", "--twice=4").returncode == 0
  assert (drawn / "sheets" / "002.png").read_bytes() == before
  assert "dogs" in (drawn / "answers.csv").read_text()
  refused = _draw(stores, drawn, "--num_units=7", "--twice=4")
  assert refused.returncode == 2 and "choose another --workdir" in refused.stderr


def test_a_sheet_shows_the_regions_that_have_a_mask(drawn):
  with Image.open(drawn / "sheets" / "001.png") as sheet:
    pixels = np.asarray(sheet)
  # K regions of 102 pixels and gaps of 2; to their right nothing is drawn.
  assert (pixels[:, K * 104 :] == 255).all()
  assert (pixels[44 + 51, ::104][:K] != 255).any(-1).all()


def _key_of(folder):
  """By hand: two sheets of the run `one`, the second with two units of the first."""
  folder.joinpath("key.csv").write_text(
    "sheet,letter,run,layer,unit,sign\n"
    + "".join(f"1,{letter},one,a,{unit},on\n" for unit, letter in enumerate("ABCDEF"))
    + "2,A,one,a,1,on\n2,B,one,a,0,on\n2,C,two,a,0,off\n"
  )
  return folder / "key.csv"


def test_answers_become_annotations(tmp_path):
  key = _key_of(tmp_path)
  first = _write(
    tmp_path / "first.csv",
    [
      *((1, "A", "Dog  heads\nand faces"), (1, "b", "red things"), (1, "C", "")),
      *((1, "D", "the sky"), (1, "E", NOTHING), (1, "F", "-")),
      *((2, "A", "red fruit"), (2, "B", NOTHING), (2, "C", "wheels")),
    ],
  )
  second = _write(
    tmp_path / "second.csv",
    [
      *((1, "A", "dog heads and faces."), (1, "C", "word " * 61)),
      (1, "F", "Ugly people, and cars"),
    ],
  )
  out = tmp_path / "out"
  found = run_here(
    "annotate", f"--read={first},{second}", f"--key={key}", f"--out={out}"
  )
  assert found.returncode == 0, found.stderr
  lines = found.stdout.splitlines()
  assert lines[0] == "7 descriptions of 5 of 7 units"
  assert "2 left out: empty" in lines
  assert "1 left out: longer than 60 words" in lines
  assert "1 left out: gives persons a color or judges them" in lines
  assert any("line 4: gives persons" in one and "Ugly" in one for one in lines)
  assert "1 left out: repeats a description of the unit" in lines
  # "red things" and "red fruit" share one of 1 + 2 content words: F1 = 2/3.
  assert "units described twice: 2; content-word F1 0.33" in lines[-1]
  assert "50% share" in lines[-1] and "one of the two 1" in lines[-1]
  assert {
    unit.index: texts for unit, texts in read_annotations(out / "one.csv").items()
  }
  assert (out / "one.csv").read_text() == (
    "layer,unit,summary\na,0,Dog heads and faces\na,0,Nothing in common.\n"
    "a,1,red things\na,1,red fruit\na,3,the sky\na,4,Nothing in common.\n"
  )
  assert (out / "two.csv").read_text() == "layer,unit,summary,sign\na,0,wheels,off\n"
  run_here(
    "annotate", f"--read={first}", f"--key={key}", f"--out={tmp_path / 'all.csv'}"
  )
  rows = _rows(tmp_path / "all.csv")
  assert rows[-1] == {
    **{"layer": "a", "unit": "0", "summary": "wheels"},
    **{"sign": "off", "run": "two"},
  }


def test_answers_that_were_written_too_fast_are_left_out(tmp_path):
  key, path = _key_of(tmp_path), tmp_path / "timed.csv"
  rows = ("1,A,dogs,2.9", "1,B,cats,3.0", "1,C,trees,", "1,D,skies,600", "1,E,,0.0")
  path.write_text("\n".join(("sheet,letter,summary,seconds", *rows, "")))
  read = f"--read={path}", f"--key={key}", f"--out={tmp_path / 'out.csv'}"
  found = run_here("annotate", *read)
  assert "1 left out: written in less than 3 seconds" in found.stdout.splitlines()
  assert [row["summary"] for row in _rows(tmp_path / "out.csv")] == [
    *("cats", "trees", "skies"),
  ]
  assert "4 descriptions" in run_here("annotate", *read, "--min_seconds=0").stdout


def test_misspelled_words_are_printed_and_corrected_where_asked_for(tmp_path):
  pytest.importorskip("spellchecker", reason="the extra `annotate` is not installed")
  key, out = _key_of(tmp_path), tmp_path / "out.csv"
  path = _write(
    tmp_path / "a.csv", [(1, "A", "Similiar jewlery"), (1, "B", "crockpot")]
  )
  read = "annotate", f"--read={path}", f"--key={key}", f"--out={out}"
  for spelling, line, said in (
    ("list", "misspelled: similiar to similar", "Similiar jewlery"),
    ("correct", "corrected: similiar to similar", "Similar jewelry"),
  ):
    found = run_here(*read, f"--spelling={spelling}")
    assert {line, "unknown word: crockpot"} <= {*found.stdout.splitlines()}
    assert [row["summary"] for row in _rows(out)] == [said, "crockpot"]


def test_copied_answers_are_left_out_but_not_those_of_nothing(tmp_path):
  key = _key_of(tmp_path)
  rows = [(1, letter, "blue areas") for letter in "ABC"]
  rows += [(1, letter, NOTHING) for letter in "DEF"] + [(2, "A", "blue areas")]
  answers = _write(tmp_path / "answers.csv", rows)
  out = tmp_path / "out.csv"
  found = run_here("annotate", f"--read={answers}", f"--key={key}", f"--out={out}")
  assert "3 left out: copied unchanged over many units" in found.stdout
  assert [row["unit"] for row in _rows(out)] == ["1", "3", "4", "5"]
  assert "No unit was described twice." in found.stdout


@pytest.mark.parametrize(
  ("one", "other", "f1"),
  [
    ("red things", "red fruit", 2 / 3),
    ("Dogs' heads", "the head of a dog", 1.0),
    (NOTHING, "No clear pattern", 1.0),
    (NOTHING, "dogs", 0.0),
    ("edges, not of dogs", "dogs", 0.0),
    ("tops of bright windows", "bright sky above roofs", 2 / 7),
  ],
)
def test_f1_of_content_words(one, other, f1):
  assert content_f1(one, other) == pytest.approx(f1)
  assert content_f1(other, one) == pytest.approx(f1)


def test_bad_input_is_refused_in_one_sentence(stores, tmp_path):
  key = _key_of(tmp_path)
  work = tmp_path / "work"
  fine = _write(tmp_path / "fine.csv", [(1, "A", "dogs")])

  def answered(name, *rows):
    return f"--read={_write(tmp_path / f'{name}.csv', rows)}", f"--key={key}"

  late = tmp_path / "late.csv"
  late.write_text("sheet,letter,summary,seconds\n1,A,dogs,soon\n")
  store = stores / "first" / "exemplars"
  twice_named = f"--exemplars={store},{store}"
  for arguments, words in (
    ((), "--exemplars: expected folders"),
    ((f"--exemplars={store}", f"--read={fine}"), "give one of the two"),
    ((twice_named, f"--workdir={work}"), "rename one"),
    ((f"--exemplars={tmp_path / 'none'}", f"--workdir={work}"), "There is no folder"),
    ((f"--exemplars={store}", "--num_units=0", f"--workdir={work}"), "1 or more"),
    ((f"--exemplars={store}", "--off_share=.1", f"--workdir={work}"), "--num_units"),
    ((f"--exemplars={store}", "--twice=99", f"--workdir={work}"), "from 0 to 14"),
    ((f"--exemplars={store}", "--units_per_sheet=7", f"--workdir={work}"), "1 to 6"),
    ((f"--read={fine}",), "--key"),
    ((f"--key={key}",), "--read"),
    ((f"--read={fine}", f"--key={fine}"), "first line must name the columns"),
    ((f"--read={tmp_path / 'none.csv'}", f"--key={key}"), "cannot be read"),
    (answered("a", (3, "A", "dogs")), "line 2: the key has no sheet 3"),
    (answered("b", (2, "D", "dogs")), "no letter D on sheet 2; that sheet has A, B"),
    (answered("c", ("one", "A", "dogs")), "a sheet's number and a letter"),
    (answered("d", (1, "A", "")), "none of 1 answers counts (1 empty): fill in"),
    ((f"--read={fine}", f"--key={key}", "--min_seconds=-1"), "expected 0 or more"),
    ((f"--read={fine}", f"--key={key}", "--spelling=all"), "spelling"),
    ((f"--read={late}", f"--key={key}"), "late.csv, line 2: expected seconds from 0"),
  ):
    found = run_here("annotate", *arguments)
    assert found.returncode == 2, (arguments, found.stderr)
    assert len(found.stderr.strip().splitlines()) == 1
    assert words in found.stderr, (arguments, found.stderr)


def test_two_annotators_who_write_the_same_agree(tmp_path):
  key = _key_of(tmp_path)
  first = _write(tmp_path / "a.csv", [(1, "A", "blue areas"), (1, "B", NOTHING)])
  second = _write(tmp_path / "b.csv", [(1, "A", "Blue areas"), (1, "B", NOTHING)])
  found = run_here(
    "annotate",
    f"--read={first},{second}",
    f"--key={key}",
    f"--out={tmp_path / 'c.csv'}",
  )
  line = found.stdout.splitlines()[-1]
  assert line.startswith("units described twice: 2; content-word F1 1.00")
  assert line.endswith("nothing in common: both answers 1, one of the two 0")
