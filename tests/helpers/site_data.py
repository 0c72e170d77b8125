"""Reads the data of a catalog as its page does."""

import base64
import json

import numpy as np

COLUMNS = {"unit": "<u4", "flags": "u1", "text": "<u4", "confidence": "<f4"}
COLUMNS |= {"maximum": "<f4", "fires": "<i4", "images": "<i4", "photographs": "<i4"}
COLUMNS |= {"tiles": "u1", "layer": "<u2"}


def call(path):
  """The function that a file of data calls, and its arguments."""
  text = path.read_text(encoding="ascii")
  name, _, rest = text.removeprefix("milan.").partition("(")
  return name, json.loads(f"[{rest.strip().removesuffix(');')}]")


def calls(folder, function):
  """The arguments of all calls of one function, in the order of the files' numbers."""
  found = [call(path) for path in (folder / "site" / "data").glob("*.js")]
  return sorted((rest for name, rest in found if name == function), key=lambda a: a[:1])


def facts(folder):
  """What the page knows first."""
  return call(folder / "site" / "data" / "meta.js")[1][0]


def column(text, kind):
  """A column of numbers."""
  return np.frombuffer(base64.b64decode(text), kind)


def columns(folder):
  """All columns of all units, and the texts."""
  files = [data for _, data in sorted(calls(folder, "units"), key=lambda a: a[0])]
  found = {
    name: np.concatenate([column(data[name], kind) for data in files])
    for name, kind in COLUMNS.items()
  }
  texts = [text for data in files for text in data["texts"]]
  return found | {"texts": texts, "shown": [texts[place] for place in found["text"]]}


def details(folder):
  """What the units' own pages show, by layer and place in it."""
  return {
    (layer, chunk * 64 + place): unit
    for layer, chunk, units in calls(folder, "details")
    for place, unit in enumerate(units)
  }
