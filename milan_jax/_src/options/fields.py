"""Options as nested dataclasses whose fields are also flat command-line flags.

A command's options are a dataclass of groups; a group is a dataclass of options. Every
option has a flag, named like the field unless `flag` is given, and no two options of a
command share one. `None` means the value of the model, the images or the captioner.
"""

import contextlib
import dataclasses
import functools
import math
import numbers
import os
import re
import types
import typing
from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

from milan_jax._src.errors import UserError, arguments, did_you_mean
from milan_jax._src.notebook import Shown

T = TypeVar("T", bound="Options")

_SCHEME = re.compile(r"(?:^|[,=])\s*[A-Za-z][\w+.-]*://")


class Checked(Shown):
  """A dataclass of options, or of groups of them, that refuses wrong values."""

  __slots__ = ()

  def __post_init__(self) -> None:
    """Checks types, choices and ranges.

    Raises:
      UserError: with the field, what was expected and what was found.
    """
    kind: Any = type(self)
    fields, hints = dataclasses.fields(kind), _hints(kind)
    with arguments(**{_flag(field): field.name for field in fields}):
      for field in fields:
        value, group = getattr(self, field.name), hints[field.name]
        if field.metadata:  # an option
          checked = _checked(_option(field, hints, ""), value)
          object.__setattr__(self, field.name, checked)
        elif isinstance(group, type) and not isinstance(value, group):
          raise UserError(f"{field.name}: expected {group.__name__}; found {value!r}.")
      self._check_ranges()

  def _check_ranges(self) -> None:
    """Refuses values of the right type that make no sense."""


class Options(Checked):
  """What all commands' options can do."""

  __slots__ = ()

  @classmethod
  def of(cls: type[T], **values: Any) -> T:
    """Options by their flags' names, the others at their defaults.

    Example:
      `DescribeOptions.of(model="resnet18", strategy="beam", beam_size=20)`

    Raises:
      UserError: an unknown name, or a value of the wrong type or none of the choices.
    """
    return replace(cls(), **values)

  def replace(self: T, **values: Any) -> T:
    """The same options, some replaced, by their flags' names.

    Raises:
      UserError: an unknown name, or a value of the wrong type or none of the choices.
    """
    return replace(self, **values)


@dataclasses.dataclass(frozen=True, slots=True)
class Option:
  """What is known of one option.

  Attributes:
    flag: its name on the command line and in `config.json`.
    group: the field of the command's dataclass that it is in; empty if it is one.
    field: its name there.
    kind: type of its values: str, int, float or bool.
    optional: whether it may be None.
    default: its default.
    help: one sentence.
    choices: the values allowed; empty if there is no list.
    remote: whether it may hold an address such as gs://bucket/folder.
    separator: what separates the values of a list that it may be; empty if it is one
      value.
    least: the smallest number allowed; None for no bound.
    most: the largest number allowed; None for no bound.
  """

  flag: str
  group: str
  field: str
  kind: type
  optional: bool
  default: Any
  help: str
  choices: tuple[str, ...]
  remote: bool
  separator: str
  least: int | float | None
  most: int | float | None


def option(
  default: Any,
  help: str,
  *,
  flag: str = "",
  choices: tuple[str, ...] = (),
  remote: bool = False,
  separator: str = "",
  least: int | float | None = None,
  most: int | float | None = None,
) -> Any:
  """Declares an option as a dataclass field.

  Args:
    default: its default; None for "its own".
    help: one sentence for `--help`.
    flag: its name on the command line, where it is not the field's.
    choices: the values allowed.
    remote: whether it may hold an address such as gs://bucket/folder: a path that is
      opened remotely, too, or a text that is not a path.
    separator: for a text of several values, what separates them: Python may then give
      a list, a number or, of `NAME=VALUE`, a mapping.
    least: the smallest number allowed.
    most: the largest number allowed.
  """
  metadata = {
    **{"help": help, "flag": flag, "choices": choices},
    **{"remote": remote, "separator": separator, "least": least, "most": most},
  }
  return dataclasses.field(default=default, metadata=metadata)


def options_of(kind: type) -> Mapping[str, Option]:
  """All options of a command, by flag, in the order of declaration."""
  found: dict[str, Option] = {}
  hints = _hints(kind)
  for field in dataclasses.fields(kind):
    if dataclasses.is_dataclass(hints[field.name]):
      inner = typing.cast(type, hints[field.name])
      inside = _hints(inner)
      each = [_option(one, inside, field.name) for one in dataclasses.fields(inner)]
    else:
      each = [_option(field, hints, "")]
    for one in each:
      if one.flag in found:
        raise ValueError(f"two options of {kind.__name__} are called {one.flag}")
      found[one.flag] = one
  return types.MappingProxyType(found)


def group_type(kind: type, name: str) -> type:
  """The dataclass of a group of a command's options."""
  return typing.cast(type, _hints(kind)[name])


@functools.cache
def _hints(kind: type) -> Mapping[str, Any]:
  return typing.get_type_hints(kind)


def _option(field: Any, hints: Mapping[str, Any], group: str) -> Option:
  hint = hints[field.name]
  optional = isinstance(hint, types.UnionType)
  kind = next(one for one in typing.get_args(hint) if one) if optional else hint
  return Option(
    flag=_flag(field),
    group=group,
    field=field.name,
    kind=kind,
    optional=optional,
    default=field.default,
    help=field.metadata["help"],
    choices=field.metadata["choices"],
    remote=field.metadata["remote"],
    separator=field.metadata["separator"],
    least=field.metadata["least"],
    most=field.metadata["most"],
  )


def _flag(field: dataclasses.Field[Any]) -> str:
  name: str = field.metadata.get("flag") or field.name
  return name


def values_of(options: Any) -> dict[str, Any]:
  """The value of every option, by flag."""
  return {
    one.flag: getattr(getattr(options, one.group) if one.group else options, one.field)
    for one in options_of(type(options)).values()
  }


def values_of_group(options: Any) -> dict[str, Any]:
  """The value of every option of one group, by flag."""
  return {
    _flag(field): getattr(options, field.name) for field in dataclasses.fields(options)
  }


def changed(options: Any) -> list[str]:
  """Flags of a group's options that differ from their defaults: `--weights`."""
  return [
    f"--{_flag(field)}"
    for field in dataclasses.fields(options)
    if getattr(options, field.name) != field.default
  ]


def replace(options: T, **values: Any) -> T:
  """Options with some values replaced, named by flag.

  Raises:
    UserError: an unknown name, or a value of the wrong type or none of the choices.
  """
  known = options_of(type(options))
  groups: dict[str, dict[str, Any]] = {}
  for name, value in values.items():
    if name not in known:
      raise UserError(
        f"{name}: {type(options).__name__} has no such option."
        f"{did_you_mean(name, known)} Expected some of {', '.join(known)}."
      )
    one = known[name]
    groups.setdefault(one.group, {})[one.field] = as_text(one, value)
  own = groups.pop("", {})
  with arguments(**{name: name for name in known}):
    for name, fields in groups.items():
      own[name] = dataclasses.replace(getattr(options, name), **fields)
    return typing.cast(T, dataclasses.replace(typing.cast(Any, options), **own))


def _checked(one: Option, value: Any) -> Any:
  if value is None and one.optional:
    return None
  if isinstance(value, numbers.Real) and not isinstance(value, bool):
    # NumPy's numbers, and whole numbers where any number will do.
    with contextlib.suppress(OverflowError):  # of a whole number beyond any float
      if isinstance(value, numbers.Integral) and one.kind in (int, float):
        value = one.kind(value)
      elif one.kind is float:
        value = float(value)
  if type(value) is not one.kind:
    name = _NAMES[one.kind] + (" or None" if one.optional else "")
    raise UserError(f"--{one.flag}: expected {name}; found {value!r}.")
  if one.choices and value not in one.choices:
    raise UserError(
      f"--{one.flag}: expected one of {', '.join(one.choices)}; found {value!r}."
    )
  if not one.remote and isinstance(value, str):
    require_local(f"--{one.flag}", value)
  if one.kind in (int, float):
    _check_number(one, value)
  return value


def _check_number(one: Option, value: int | float) -> None:
  """Refuses a number out of its range, NaN and infinity."""
  least = -math.inf if one.least is None else one.least
  most = math.inf if one.most is None else one.most
  if least <= value <= most and (isinstance(value, int) or math.isfinite(value)):
    return
  expected = "a finite number"
  if one.least is not None:
    expected = f"{one.least} " + ("or more" if one.most is None else f"to {one.most}")
  raise UserError(f"--{one.flag}: expected {expected}; found {value}.")


def as_text(one: Option, value: Any) -> Any:
  """Writes a path, and the values of a list, as the command line does.

  Other values are returned as they are, for `Checked` to refuse.

  Raises:
    UserError: a list is empty, or has something else than texts and numbers.
  """
  if one.kind is not str:
    return value
  if isinstance(value, os.PathLike):
    return os.fspath(value)
  if isinstance(value, str):
    return str(value)  # NumPy's texts
  if not one.separator or isinstance(value, bytes | bool):
    return value
  if isinstance(value, numbers.Real):
    return str(value)
  if hasattr(value, "tolist"):  # an array
    value = value.tolist()
  if isinstance(value, Mapping):
    value = [f"{name}={each}" for name, each in value.items()]
  if not isinstance(value, Iterable):
    return value
  items = sorted(value) if isinstance(value, frozenset | set) else list(value)
  if not items:
    raise UserError(f"--{one.flag}: expected at least one value; found none.")
  for item in items:
    if isinstance(item, bool | bytes) or not isinstance(
      item, str | numbers.Real | os.PathLike
    ):
      raise UserError(f"--{one.flag}: expected texts or numbers; found {item!r}.")
  return one.separator.join(
    os.fspath(item) if isinstance(item, os.PathLike) else str(item) for item in items
  )


def require_local(name: str, value: str) -> None:
  """Refuses a remote path, or several paths of which one is remote.

  Args:
    name: of the option or argument, for the message.
    value: the path or the paths, comma-separated.
  """
  if _SCHEME.search(value):
    raise UserError(
      f"{name}: expected a path on this machine; found {value!r}: copy it here, or "
      "mount it. docs/training.md lists the options that take remote paths."
    )


_NAMES = {
  str: "a text",
  int: "a whole number",
  float: "a number",
  bool: "True or False",
}
