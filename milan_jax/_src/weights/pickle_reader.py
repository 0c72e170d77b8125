"""Reads pickles without running any code from the file.

A pickle is a program for a small stack machine with instructions to import and call
arbitrary objects. This reader replaces those instructions: it builds plain containers,
calls only the constructors that its caller passes, and records every other class,
function and object as an `OpaqueObject`.

It does not build on Python's `pickle`, in which `BUILD` sets attributes of any object
and the extension registry bypasses `find_class`. It only uses the instruction table of
`pickletools`.
"""

import dataclasses
import io
import mmap
import pickletools
from collections.abc import Callable, Mapping
from typing import IO, Any, cast

Persistent = Callable[[Any], Any]
# Constructors by module and name; they receive the arguments of a call in the file.
Constructors = Mapping[tuple[str, str], Callable[..., Any]]


class MalformedPickleError(ValueError):
  """The file is not a pickle, is truncated, or has contents that no pickler writes."""


@dataclasses.dataclass(frozen=True, slots=True)
class Name:
  """A class or function named in the file. It is not imported."""

  module: str
  name: str


@dataclasses.dataclass(eq=False, slots=True)
class OpaqueObject:
  """A record of an object that was not created.

  Attributes:
    module: the module of its class or of the function that would create it.
    name: the name of that class or function.
    args: the arguments of the call.
    state: the argument for its `__setstate__`; None if the file has none.
    items: the items that would be appended, or set as (key, value).
  """

  module: str
  name: str
  args: tuple[Any, ...] = ()
  state: Any = None
  items: list[Any] = dataclasses.field(default_factory=list)


_Mark = type("_Mark", (), {})
_MARK = _Mark()

_PLAIN = (str, bytes, int, float, bool, type(None), Name, OpaqueObject)
_LITERALS = frozenset(
  (
    *("INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4"),
    *("FLOAT", "BINFLOAT", "STRING", "BINSTRING", "SHORT_BINSTRING"),
    *("UNICODE", "SHORT_BINUNICODE", "BINUNICODE", "BINUNICODE8"),
    *("SHORT_BINBYTES", "BINBYTES", "BINBYTES8", "BYTEARRAY8"),
  )
)
_CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
_EMPTY: dict[str, Callable[[], Any]] = {
  "EMPTY_DICT": dict,
  "EMPTY_LIST": list,
  "EMPTY_TUPLE": tuple,
  "EMPTY_SET": set,
}
_TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}
_MARKED: dict[str, Callable[[list[Any]], Any]] = {
  "LIST": list,
  "TUPLE": tuple,
  "FROZENSET": lambda values: frozenset(map(_key, values)),
  "DICT": lambda values: {_key(key): value for key, value in _pairs(values)},
}


def read(
  file: io.BytesIO | mmap.mmap,
  *,
  constructors: Constructors,
  persistent: Persistent,
) -> Any:
  """Reads the pickle at the file's position and moves the position to its end.

  Args:
    file: the file, opened for reading.
    constructors: the only functions that a call in the file can reach.
    persistent: returns the object for a persistent id (torch's storages).

  Raises:
    MalformedPickleError: if the pickle is malformed. Exceptions from `constructors` and
      `persistent` propagate.
  """
  machine = _Machine(constructors, persistent)
  instructions = pickletools.genops(cast(IO[bytes], file))
  while True:
    try:
      opcode, arg, _ = next(instructions)
    except ValueError as error:  # genops raises only ValueError
      raise MalformedPickleError(str(error)) from error
    if opcode.name == "STOP":
      return machine.pop()
    machine.step(opcode.name, arg)


def _key(value: Any) -> Any:
  """Rejects keys of other types: hashing deeply nested tuples overflows the C stack."""
  parts = value if isinstance(value, tuple) else (value,)
  if not all(isinstance(part, _PLAIN) for part in parts):
    raise MalformedPickleError("a dict key is not a plain value")
  return value


def _pairs(values: list[Any]) -> list[tuple[Any, Any]]:
  if len(values) % 2:
    raise MalformedPickleError("a dict key has no value")
  return list(zip(values[::2], values[1::2], strict=True))


class _Machine:
  """The stack and the memo; `step` executes one instruction."""

  def __init__(self, constructors: Constructors, persistent: Persistent):
    self._constructors = constructors
    self._persistent = persistent
    self._stack: list[Any] = []
    self._memo: dict[int, Any] = {}

  def step(self, name: str, arg: Any) -> None:
    if name in _LITERALS:
      self._stack.append(arg)
    elif name in _CONSTANTS:
      self._stack.append(_CONSTANTS[name])
    elif name in _EMPTY:
      self._stack.append(_EMPTY[name]())
    elif name in _TUPLES:
      self._stack.append(self._pop_n(_TUPLES[name]))
    elif name in _MARKED:
      self._stack.append(_MARKED[name](self._pop_to_mark()))
    elif name not in ("PROTO", "FRAME"):
      instruction = getattr(self, f"_{name.lower()}", None)
      if instruction is None:
        raise MalformedPickleError(f"the instruction {name}")
      instruction(arg)

  def pop(self) -> Any:
    if not self._stack or self._stack[-1] is _MARK:
      raise MalformedPickleError("a value is missing")
    return self._stack.pop()

  def _pop_n(self, n: int) -> tuple[Any, ...]:
    return tuple(self.pop() for _ in range(n))[::-1]

  def _pop_to_mark(self) -> list[Any]:
    values = []
    while self._stack and self._stack[-1] is not _MARK:
      values.append(self._stack.pop())
    if not self._stack:
      raise MalformedPickleError("a mark is missing")
    self._stack.pop()
    return values[::-1]

  # The stack and the memo.

  def _mark(self, _: None) -> None:
    self._stack.append(_MARK)

  def _pop(self, _: None) -> None:
    if not self._stack:
      raise MalformedPickleError("a value is missing")
    self._stack.pop()

  def _pop_mark(self, _: None) -> None:
    self._pop_to_mark()

  def _dup(self, _: None) -> None:
    self._stack.append(self._top())

  def _put(self, index: int) -> None:
    self._memo[index] = self._top()

  _binput = _long_binput = _put

  def _memoize(self, _: None) -> None:
    self._memo[len(self._memo)] = self._top()

  def _get(self, index: int) -> None:
    if index not in self._memo:
      raise MalformedPickleError(f"the memo has no entry {index}")
    self._stack.append(self._memo[index])

  _binget = _long_binget = _get

  def _top(self) -> Any:
    self._stack.append(self.pop())  # raises for an empty stack and for a mark
    return self._stack[-1]

  # Filling containers.

  def _append(self, _: None) -> None:
    self._extend(list, [self.pop()])

  def _appends(self, _: None) -> None:
    self._extend(list, self._pop_to_mark())

  def _additems(self, _: None) -> None:
    self._extend(set, self._pop_to_mark())

  def _setitem(self, _: None) -> None:
    self._extend(dict, [self._pop_n(2)])

  def _setitems(self, _: None) -> None:
    self._extend(dict, _pairs(self._pop_to_mark()))

  def _extend(self, kind: type[Any], values: list[Any]) -> None:
    target: Any = self._top()
    if isinstance(target, OpaqueObject):
      target.items.extend(values)
    elif not isinstance(target, kind):
      raise MalformedPickleError(f"a {type(target).__name__} cannot hold items")
    elif isinstance(target, list):
      target.extend(values)
    elif isinstance(target, dict):
      target.update((_key(key), value) for key, value in values)
    else:
      target.update(map(_key, values))

  # Instructions that would import or call.

  def _global(self, arg: str) -> None:
    self._stack.append(Name(*arg.split(" ", 1)))

  def _stack_global(self, _: None) -> None:
    module, name = self._pop_n(2)
    if not (isinstance(module, str) and isinstance(name, str)):
      raise MalformedPickleError("a name is not a string")
    self._stack.append(Name(module, name))

  def _ext1(self, code: int) -> None:
    self._stack.append(Name("copyreg", f"extension {code}"))

  _ext2 = _ext4 = _ext1

  def _reduce(self, _: None) -> None:
    function, args = self._pop_n(2)
    self._call(function, args)

  _newobj = _reduce

  def _newobj_ex(self, _: None) -> None:
    function, args, keywords = self._pop_n(3)
    if not isinstance(args, tuple):
      raise MalformedPickleError("the arguments of a call are not a tuple")
    self._call(function, (*args, keywords) if keywords else args)

  def _obj(self, _: None) -> None:
    function, *args = self._pop_to_mark() or [None]
    self._call(function, tuple(args))

  def _inst(self, arg: str) -> None:
    self._call(Name(*arg.split(" ", 1)), tuple(self._pop_to_mark()))

  def _call(self, function: Any, args: Any) -> None:
    if not isinstance(args, tuple):
      raise MalformedPickleError("the arguments of a call are not a tuple")
    if not isinstance(function, Name | OpaqueObject):
      raise MalformedPickleError(f"a {type(function).__name__} cannot be called")
    made: Any = OpaqueObject(function.module, function.name, args)
    if isinstance(function, Name):
      constructor = self._constructors.get((function.module, function.name))
      if constructor is not None:
        made = constructor(*args)
    self._stack.append(made)

  def _build(self, _: None) -> None:
    state, target = self.pop(), self._top()
    # Attributes of a plain container, such as torch's `_metadata`, are ignored.
    if isinstance(target, OpaqueObject):
      target.state = state

  def _persid(self, arg: str) -> None:
    self._stack.append(self._persistent(arg))

  def _binpersid(self, _: None) -> None:
    self._stack.append(self._persistent(self.pop()))
