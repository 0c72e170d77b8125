"""Compares the descriptions of two runs, such as a GPU's with a CPU's.

  python benchmarks/compare_descriptions.py cpu.csv runs/gpu/descriptions.csv

Both files are `descriptions.csv` of the same command. The exit code is 1 if too few
descriptions are the same, or the scores of the same ones differ by too much.
"""

import argparse
import csv
import json
import pathlib
import sys
from typing import Any


def read(path: str) -> dict[tuple[str, ...], dict[str, str]]:
  with pathlib.Path(path).open(newline="", encoding="utf-8") as file:
    rows = list(csv.DictReader(file))
  return {(row["layer"], row["unit"], row.get("sign", "on")): row for row in rows}


def compare(expected_path: str, found_path: str) -> dict[str, Any]:
  expected, found = read(expected_path), read(found_path)
  shared = [key for key in expected if key in found]
  same = [
    key for key in shared if expected[key]["description"] == found[key]["description"]
  ]
  differences = {
    key: abs(float(expected[key]["score"]) - float(found[key]["score"]))
    for key in same
    if expected[key]["score"] and found[key]["score"]
  }
  largest = max(differences, key=differences.__getitem__, default=None)
  return {
    "units": len(expected),
    "missing": len(expected) - len(shared),
    "added": len(found) - len(shared),
    "same": len(same),
    "largest_score_difference": differences[largest] if largest else None,
    "unit_of_largest_difference": list(largest) if largest else None,
    "above_1e-4": sum(value > 1e-4 for value in differences.values()),
    "different": [
      {
        "unit": list(key),
        "expected": expected[key]["description"],
        "found": found[key]["description"],
        "expected_margin": expected[key]["margin"],
      }
      for key in shared
      if key not in set(same)
    ],
  }


def main() -> int:
  parser = argparse.ArgumentParser(description=__doc__)
  parser.add_argument("expected")
  parser.add_argument("found")
  parser.add_argument("--json")
  parser.add_argument("--min_same", type=float, default=0.99, help="part of the units")
  parser.add_argument("--max_difference", type=float, default=1e-2, help="nats")
  options = parser.parse_args()
  figures = compare(options.expected, options.found)
  text = json.dumps(figures, indent=2)
  print(text)
  if options.json:
    pathlib.Path(options.json).write_text(text + "\n")
  is_near = (figures["largest_score_difference"] or 0.0) <= options.max_difference
  is_whole = not figures["missing"] and not figures["added"]
  return int(
    not (
      is_near and is_whole and figures["same"] >= options.min_same * figures["units"]
    )
  )


if __name__ == "__main__":
  sys.exit(main())
