"""Nothing of a pickle runs: each hostile one is first shown to work on Python's own."""

import builtins
import collections
import contextlib
import copyreg
import io
import os
import pickle
import pickletools
import random
import subprocess
import sys

import pytest

from milan_jax._src.weights import pickle_reader
from milan_jax._src.weights.pickle_reader import (
  MalformedPickleError,
  Name,
  OpaqueObject,
)

_WATCHED = ("os.", "subprocess.", "pickle.", "shutil.", "socket.")
_WRITES = os.O_WRONLY | os.O_RDWR
_events: list[str] = []
_watching = False


def _watch(event, args):
  # Not imports and compilation: the check of annotations does both.
  if not _watching:
    return
  if event.startswith(_WATCHED) or (event == "open" and args[2] & _WRITES):
    _events.append(event)


sys.addaudithook(_watch)


def read(data, constructors=None):
  """Reads a pickle and demands that Python saw no file or process meanwhile."""
  global _watching
  _events.clear()
  _watching = True
  try:
    return pickle_reader.read(
      io.BytesIO(data),
      constructors=constructors or {},
      persistent=lambda pid: ("persistent", pid),
    )
  finally:
    _watching = False
    assert _events == []


class Call:
  """Pickles as a call of `function(*args)`."""

  def __init__(self, function, *args, state=None):
    self.call = (function, args) if state is None else (function, args, state)

  def __reduce__(self):
    return self.call


class OldStyle:
  """Pickles as NEWOBJ with a state for `__setstate__`."""

  def __init__(self, command):
    self.command = command

  def __setstate__(self, state):
    os.system(state["command"])


class New:
  """Pickles as NEWOBJ: `__new__` runs in the reader."""

  def __new__(cls, command):
    os.system(command)
    return super().__new__(cls)


class Plain:
  """An object on which BUILD sets what it is given."""


class NewWithKeywords:
  """Pickles as NEWOBJ_EX: `__new__` runs in the reader."""

  def __new__(cls, *, command=None):
    if command is not None:
      os.system(command)
    return super().__new__(cls)

  def __getnewargs_ex__(self):
    return (), {"command": self.command}


HERE = __name__.encode()


def _touch(marker):
  return f"touch {marker}"


def _system(marker):
  return Call(os.system, _touch(marker))


def _text(marker):
  return f"(S'{_touch(marker)}'\n".encode()


def _with_keywords(marker):
  value = NewWithKeywords()
  value.command = _touch(marker)
  return value


# Each makes the bytes of a pickle that touches `marker` when Python reads it.
HOSTILE = {
  "os.system, GLOBAL": lambda m: pickle.dumps(_system(m), 2),
  "os.system, STACK_GLOBAL": lambda m: pickle.dumps(_system(m), 4),
  "os.system, text": lambda m: pickle.dumps(_system(m), 0),
  "eval": lambda m: pickle.dumps(Call(eval, f"open({str(m)!r}, 'w').close()"), 2),
  "exec": lambda m: pickle.dumps(Call(exec, f"open({str(m)!r}, 'w').close()"), 4),
  "subprocess": lambda m: pickle.dumps(Call(subprocess.call, ["touch", str(m)]), 4),
  "inside a state dict": lambda m: pickle.dumps(
    {"state_dict": collections.OrderedDict(weight=[(_system(m),)])}, 2
  ),
  "as a key": lambda m: pickle.dumps({_system(m): 1}, 2),
  "as an argument": lambda m: pickle.dumps(Call(abs, _system(m)), 2),
  "as a state": lambda m: pickle.dumps(
    Call(collections.OrderedDict, state={"a": _system(m)}), 2
  ),
  "thrown away": lambda m: pickle.dumps(_system(m), 2)[:-1] + b"0N.",
  "INST": lambda m: _text(m) + b"ios\nsystem\n.",
  "OBJ": lambda m: b"(cos\nsystem\n" + _text(m)[1:] + b"o.",
  "NEWOBJ": lambda m: b"\x80\x02c%s\nNew\n" % HERE + _text(m) + b"t\x81.",
  "NEWOBJ_EX": lambda m: pickle.dumps(_with_keywords(m), 4),
  "__setstate__": lambda m: pickle.dumps(OldStyle(_touch(m)), 2),
  "getattr": lambda m: b"c__builtin__\ngetattr\n(cos\npath\nS'os'\ntR0"
  b"c__builtin__\ngetattr\n(c__builtin__\n__import__\n(S'os'\ntRS'system'\ntR"
  + _text(m) + b"tR.",
  "a dotted name": lambda m: b"\x80\x04\x8c\x02os\x8c\x0epath.os.system\x93" + (
    _text(m) + b"tR."
  ),
  "BUILD of __setstate__": lambda m: b"\x80\x02c%s\nPlain\n)\x81}" % HERE
  + b"S'__setstate__'\ncos\nsystem\nsb" + _text(m)[1:] + b"b.",
  "an extension": lambda m: b"\x80\x02\x82\xc8" + _text(m) + b"tR.",
  "an extension, wide": lambda m: b"\x80\x02\x84\xc8\0\0\0" + _text(m) + b"tR.",
}  # fmt: skip


@pytest.fixture
def extension():
  """Gives `os.system` a code of the extension registry, and fills its cache."""
  copyreg.add_extension("os", "system", 200)
  pickle.loads(b"\x80\x02\x82\xc8.")
  yield
  copyreg.remove_extension("os", "system", 200)


@pytest.mark.parametrize("kind", HOSTILE)
def test_no_code_of_a_hostile_pickle_runs(kind, tmp_path, extension):
  marker = tmp_path / "it-ran"
  data = HOSTILE[kind](marker)
  read(data)
  assert not marker.exists()
  # The same bytes, read by Python: the pickle is not a dud.
  pickle.loads(data)
  assert marker.exists()


def test_every_instruction_is_carried_out_or_refused():
  for opcode in pickletools.opcodes:
    machine = pickle_reader._Machine({}, lambda pid: pid)
    texts = dict.fromkeys(("GLOBAL", "INST", "PERSID"), "a b")
    arg = texts.get(opcode.name, 0 if opcode.arg else None)
    with (
      pytest.raises(MalformedPickleError)
      if _needs(opcode)
      else contextlib.nullcontext()
    ):
      machine.step(opcode.name, arg)


def _needs(opcode):
  refused = ("NEXT_BUFFER", "READONLY_BUFFER", "STOP", "GET", "BINGET", "LONG_BINGET")
  return bool(opcode.stack_before) or opcode.name in refused or "PUT" in opcode.name


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_plain_values_come_back(protocol):
  shared = [1, 2]
  value = {
    "numbers": (0, 1, -7, 300, 70_000, 2**31, -(2**63), 2**200, 1.5, float("inf")),
    "words": ("", "latin ä", "wide \U0001f600", "new\nline\\", "x" * 300),
    "constants": [None, True, False, [], {}, ()],
    "tuples": ((1,), (1, 2), (1, 2, 3), (1, 2, 3, 4)),
    "nested": {("a", 1): {"b": shared}, None: shared},
  }
  back = read(pickle.dumps(value, protocol))
  assert back == value
  assert back["nested"][None] is back["nested"]["a", 1]["b"]
  assert [type(one) for one in back["constants"]] == [
    type(one) for one in value["constants"]
  ]


@pytest.mark.parametrize("protocol", [4, 5])
def test_sets_and_bytes_come_back(protocol):
  value = [b"", b"ab\xff", b"x" * 300, {1, "a"}, frozenset({2}), set()]
  if protocol == 5:
    value.append(bytearray(b"yes"))
  assert read(pickle.dumps(value, protocol)) == value


def test_a_list_that_holds_itself():
  value = [1]
  value.append(value)
  back = read(pickle.dumps(value, 2))
  assert back[0] == 1 and back[1] is back


def test_an_object_becomes_a_record_of_what_the_file_says():
  data = pickle.dumps(
    [Call(os.system, "x", state={"a": 1}), collections.deque([5, 6]), range], 4
  )
  system, deque, named = read(data)
  assert (system.name, system.args, system.state) == ("system", ("x",), {"a": 1})
  assert (deque.module, deque.name, deque.items) == ("collections", "deque", [5, 6])
  assert named == Name("builtins", "range")
  counter = read(pickle.dumps(collections.defaultdict(int, a=1, b=2), 2))
  assert isinstance(counter, OpaqueObject)
  assert counter.items == [("a", 1), ("b", 2)]


def test_only_the_constructors_given_are_called_and_only_by_name():
  data = pickle.dumps([Call(complex, 1.0, 2.0), Call(abs, -1)], 2)
  one, two = read(data, {("__builtin__", "complex"): lambda x, y: (x, y)})
  assert one == (1.0, 2.0)
  assert isinstance(two, OpaqueObject) and two.args == (-1,)


@pytest.mark.parametrize(
  "data",
  [
    b"",
    b"N",
    b".",
    b"(.",
    b"0.",
    b"N0.",
    b"a.",
    b"NNa.",
    b"}NNNu.",
    b"(NNNd.",
    b"}(]Nu.",  # a list as a key
    b"(((tttN(]ttNd.",  # a nest of tuples as a key
    b"g7\n.",
    b"t.",
    b"NNR.",
    b"](tR.",
    b"cos\nsystem\nNR.",
    b"\x80\x04NN\x93.",
    b"\x80\x05\x97.",
    b"\xffjunk",
    b"\x80\x02X\xff\xff\xff\x7fabc.",  # a string longer than the file
    b"\x8d\xff\xff\xff\xff\xff\xff\xff\xff.",
  ],
)
def test_malformed_pickles_are_refused(data):
  with pytest.raises(MalformedPickleError):
    read(data)


@pytest.mark.filterwarnings("ignore:invalid escape")
def test_damage_only_ever_raises_the_one_error():
  rng = random.Random(0)
  value = {"a": [1, 2.5, ("x", None)], "b": {1, 2}, "c": collections.deque([b"z"])}
  for protocol in (0, 2, 4):
    whole = pickle.dumps(value, protocol)
    for _ in range(1500):
      data = bytearray(whole)
      for _ in range(rng.randint(1, 4)):
        data[rng.randrange(len(data))] = rng.randrange(256)
      with contextlib.suppress(MalformedPickleError):
        read(bytes(data[: rng.randint(1, len(data))]))


def test_builtins_are_untouched():
  before = dict(vars(builtins))
  read(b"c__builtin__\nlen\n(N(S'__doc__'\nS'x'\ndtb.")
  assert dict(vars(builtins)) == before
