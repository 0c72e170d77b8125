"""The journal of descriptions survives a kill; the CSV is what other tools read."""

import csv
import dataclasses
import json

import pytest

from milan_jax._src.errors import UserError
from milan_jax._src.files.json_files import with_checksum
from milan_jax._src.records import Description, Hypothesis, Unit
from milan_jax._src.store.descriptions import (
  Journal,
  descriptions_are_whole,
  read_journal,
  write_descriptions,
)


def _description(index):
  return Description(Unit("layer1", index), f"Dogs, {index}", 1.5, -2.0, -0.25)


def test_a_journal_goes_on_after_its_last_whole_batch(tmp_path):
  path = tmp_path / "journal.jsonl"
  journal = Journal(path, batch_size=2, total=5)
  journal.append([_description(0), _description(1)])
  whole = path.read_bytes()
  for tail in (b'{"unit": {"lay', b"", None):
    if tail is None:
      journal.append([_description(2)])  # a whole line, but half a batch
    else:
      path.write_bytes(whole + tail)
    again = Journal(path, batch_size=2, total=5)
    assert tuple(again) == (_description(0), _description(1))
    assert path.read_bytes() == whole


def test_a_finished_journal_keeps_its_smaller_last_batch(tmp_path):
  path = tmp_path / "journal.jsonl"
  journal = Journal(path, batch_size=2, total=3)
  journal.append([_description(0), _description(1)])
  journal.append([_description(2)])
  assert len(Journal(path, batch_size=2, total=3)) == 3


@pytest.mark.parametrize(
  "change",
  [
    lambda line: line.replace(b"Dogs", b"Hogs"),
    lambda line: line.replace(b"1.5", b"1.4"),
    lambda line: line.replace(b'"score"', b'"scare"'),
    lambda line: line.replace(b"{", b"[", 1),
    lambda line: b"\xff" + line[1:],
    lambda line: b"null\n",
    lambda line: b"\n",
  ],
)
def test_a_damaged_line_and_what_follows_are_made_again(tmp_path, change):
  path = tmp_path / "journal.jsonl"
  journal = Journal(path, batch_size=2, total=6)
  for first in (0, 2, 4):
    journal.append([_description(first), _description(first + 1)])
  lines = path.read_bytes().splitlines(keepends=True)
  path.write_bytes(b"".join([*lines[:3], change(lines[3]), *lines[4:]]))
  with pytest.raises(UserError, match=r"journal\.jsonl, line 4 is damaged"):
    list(read_journal(path))
  again = Journal(path, batch_size=2, total=6)
  assert tuple(again) == (_description(0), _description(1))
  assert path.read_bytes() == b"".join(lines[:2])


def test_a_folder_in_the_place_of_a_journal_is_named(tmp_path):
  with pytest.raises(UserError, match=tmp_path.name):
    Journal(tmp_path, batch_size=2, total=4)


def test_more_lines_than_units_are_dropped(tmp_path):
  path = tmp_path / "journal.jsonl"
  journal = Journal(path, batch_size=2, total=3)
  journal.append([_description(0), _description(1)])
  journal.append([_description(2)])
  whole = path.read_bytes()
  path.write_bytes(whole + whole)
  assert len(Journal(path, batch_size=2, total=3)) == 3
  assert path.read_bytes() == whole


def test_a_csv_that_was_changed_is_not_whole(tmp_path):
  path = tmp_path / "descriptions.csv"
  some = [_description(index) for index in range(3)]
  write_descriptions(path, some)
  assert descriptions_are_whole(path, some)
  whole = path.read_text()
  for text in (whole[:-1], whole + "x", whole.replace("Dogs, 1", "Dogs, 7"), ""):
    path.write_text(text)
    assert not descriptions_are_whole(path, some)
  path.write_bytes(b"\xff")
  assert not descriptions_are_whole(path, some)
  path.unlink()
  assert not descriptions_are_whole(path, some)


def test_the_csv_has_the_columns_that_other_tools_read(tmp_path):
  path = tmp_path / "descriptions.csv"
  dead = Description(Unit("0", 7), 'Say "no"', 0.0, -1.0, None, dead=True)
  dead = dataclasses.replace(dead, fires=0, images=28)
  write_descriptions(path, [_description(3), dead])
  with path.open(newline="") as file:
    rows = list(csv.DictReader(file))
  assert rows[0]["layer"] == "layer1"
  assert rows[0]["description"] == "Dogs, 3"
  assert rows[0]["score"] == "1.500000"
  assert (rows[0]["dead"], rows[1]["dead"]) == ("0", "1")
  assert rows[1]["lm_log_prob"] == ""
  assert list(rows[0])[:3] == ["layer", "unit", "description"]
  assert list(rows[0])[-3:] == ["fires", "images", "sign"]
  assert (rows[0]["fires"], rows[0]["images"]) == ("", "")
  assert (rows[1]["fires"], rows[1]["images"]) == ("0", "28")
  assert (rows[1]["layer"], rows[1]["unit"]) == ("0", "7")
  assert rows[1]["description"] == 'Say "no"'


def test_confidence_and_what_was_withheld_are_written_and_come_back(tmp_path):
  some = [
    Description(Unit("a", 0), "Dogs", 1.0, -2.0, -3.0, confidence=0.875),
    Description(
      Unit("a", 1), "No clear pattern", 1.0, -2.0, confidence=0.125, guess="Red things"
    ),
    Description(Unit("a", 2, "off"), "Cats", 1.0, -2.0),
  ]
  path = tmp_path / "descriptions.csv"
  write_descriptions(path, some)
  with path.open(newline="") as file:
    rows = list(csv.DictReader(file))
  assert list(rows[0]) == [
    *("layer", "unit", "description", "score", "log_prob", "lm_log_prob", "dead"),
    *("margin", "confidence", "guess", "fires", "images", "sign"),
  ]
  assert [row["confidence"] for row in rows] == ["0.875000", "0.125000", ""]
  assert [row["guess"] for row in rows] == ["", "Red things", ""]
  assert [row["sign"] for row in rows] == ["on", "on", "off"]
  journal = Journal(tmp_path / "journal.jsonl", batch_size=3, total=3)
  journal.append(some)
  assert list(Journal(tmp_path / "journal.jsonl", batch_size=3, total=3)) == some


def test_hypotheses_are_kept_and_may_be_missing(tmp_path):
  beam = (Hypothesis("Dogs", 1.0, -2.0, -3.0), Hypothesis("Cats", 0.5, -1.0))
  entry = dataclasses.replace(_description(0), hypotheses=beam)
  journal = Journal(tmp_path / "journal", 1, total=1)
  journal.append([entry])
  (found,) = journal
  assert found == entry and found.hypotheses == beam
  # As an earlier version wrote it.
  line = json.loads((tmp_path / "journal").read_text())
  del line["hypotheses"]
  (tmp_path / "journal").write_text(json.dumps(with_checksum(line)) + "\n")
  (found,) = read_journal(tmp_path / "journal")
  assert found == entry and found.hypotheses == ()
