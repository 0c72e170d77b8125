"""Options as command-line flags.

absl parses the flags and ml_collections reads the configuration files, as the trainers
of the field do: flags stay flat and take all of absl's spellings (`--k=5`, `--k 5`,
`--nopage`), and a configuration is Python. Ours is only how the help looks.
"""

import pathlib
import shutil
import sys
import textwrap
from collections.abc import Iterator, Sequence
from typing import Any, TypeVar

from absl import flags
from ml_collections import config_flags

from milan_jax._src.errors import UserError
from milan_jax._src.options import fields
from milan_jax._src.options.fields import Option
from milan_jax._src.version import __version__

T = TypeVar("T", bound=fields.Options)

_DEFINE = {
  bool: flags.DEFINE_boolean,
  int: flags.DEFINE_integer,
  float: flags.DEFINE_float,
  str: flags.DEFINE_string,
}
_TYPES = {int: "INT", float: "FLOAT", str: "TEXT"}
# Flags that ask something of the command: name, short name, text.
_ASKS = (
  ("help", "h", "show this help"),
  ("helpshort", None, "show this help"),
  ("helpfull", None, "show this help"),
  ("version", None, "show the version"),
)
_CONFIG = "file with a function get_config that returns the options"
_WIDEST = 100


def _flag_values(kind: type, arguments: Sequence[str]) -> flags.FlagValues:
  values = flags.FlagValues()
  for one in fields.options_of(kind).values():
    if one.choices:
      flags.DEFINE_enum(one.flag, None, one.choices, one.help, flag_values=values)
    else:
      _DEFINE[one.kind](one.flag, None, one.help, flag_values=values)  # type: ignore
  config_flags.DEFINE_config_file(
    "config", None, _CONFIG, flag_values=values, sys_argv=list(arguments)
  )
  for name, short, text in _ASKS:
    flags.DEFINE_boolean(name, False, text, short_name=short, flag_values=values)
  return values


def _shipped_configs(arguments: Sequence[str]) -> list[str]:
  """Finds `--config=configs/NAME.py` in the package where there is no such file."""
  package = pathlib.Path(__file__).resolve().parents[2]
  found = list(arguments)
  for index, argument in enumerate(arguments):
    flag, equals, value = argument.partition("=")
    if flag not in ("--config", "-config"):
      continue
    if not equals:  # the next argument is the value
      flag, index = "", index + 1
      value = arguments[index] if index < len(arguments) else ""
    path = pathlib.Path(value)
    if path.parent != pathlib.Path("configs") or path.exists():
      continue
    # Installed, the folder is the package's; in a clone it is beside the package.
    for shipped in (package / path, package.parent / path):
      if shipped.is_file():
        found[index] = f"{flag}={shipped}" if flag else str(shipped)
        break
  return found


def _without_prefix(kind: type, arguments: Sequence[str]) -> list[str]:
  """Reads `--config.NAME=VALUE` and `--config.GROUP.NAME=VALUE` as `--NAME=VALUE`."""
  by_path = {
    f"{one.group}.{one.field}": one.flag for one in fields.options_of(kind).values()
  }
  found = []
  for argument in arguments:
    if argument.startswith(("--config.", "-config.")):
      name, equals, value = argument.partition("=")
      path = name.partition("config.")[2]
      argument = f"--{by_path.get(path, path)}{equals}{value}"
    found.append(argument)
  return found


def usage(kind: type, width: int | None = None) -> str:
  """Returns a command's help: its flags by group, with types, choices and defaults.

  Args:
    kind: the dataclass of the command's options.
    width: of the lines, in characters; the terminal's, at most 100, by default.
  """
  width = width or min(shutil.get_terminal_size().columns, _WIDEST)
  lines = [*textwrap.wrap(_summary(kind), width), ""]
  lines += textwrap.wrap("Every flag may also be set in a --config file.", width)
  title = None
  for one in fields.options_of(kind).values():
    if one.group != title or title is None:
      title = one.group
      lines += ["", *textwrap.wrap(_title(kind, title), width)]
    lines += _entry(_spelling(one), _text(one), width)
  lines += ["", "Others:", *_entry("--config=FILE", _CONFIG, width)]
  for name, short, text in _ASKS:
    lines += _entry(f"--{name}" + (f", -{short}" if short else ""), text, width)
  return "\n".join(lines)


def _title(kind: type, group: str) -> str:
  if not group:
    return "Flags:"
  return f"{_summary(fields.group_type(kind, group)).rstrip('.')}:"


def _summary(kind: type) -> str:
  """The first paragraph of a class's docstring."""
  return (kind.__doc__ or "").split("\n\n")[0].strip()


def _spelling(one: Option) -> str:
  if one.kind is bool:
    return f"--[no]{one.flag}"
  what = "|".join(one.choices) if one.choices else _TYPES[one.kind]
  return f"--{one.flag}={what}"


def _text(one: Option) -> str:
  if one.default is None:
    return one.help
  default = str(one.default).lower() if one.kind is bool else one.default
  return f"{one.help} (default: {default})"


def _entry(flag: str, text: str, width: int) -> Iterator[str]:
  yield f"  {flag}"
  indent = " " * 6
  yield from textwrap.wrap(
    text,
    width,
    initial_indent=indent,
    subsequent_indent=indent,
    break_on_hyphens=False,
    break_long_words=False,
  )


def parse(kind: type[T], arguments: Sequence[str]) -> tuple[T, list[str]]:
  """Reads options from flags and, if `--config` names one, a file.

  A flag wins over the file, whether given as `--name` or as `--config.name`.

  Args:
    kind: the dataclass of the command's options.
    arguments: the command and its arguments.

  Returns:
    The options and the positional arguments.

  Raises:
    UserError: an unknown flag or field, a value of the wrong type, a bad file.
    SystemExit: after printing the help or version that was asked for.
  """
  arguments = _without_prefix(kind, _shipped_configs(arguments))
  values = _flag_values(kind, arguments)
  try:
    _, *positional = values(list(arguments))
    config: Any = values.config if values.config is not None else kind()
    # A file that did not load raises when a field is read.
    found = type(config).__name__
    if not isinstance(config, kind):
      getattr(config, "workdir", None)
  except flags.Error as error:
    raise UserError(f"{error}; --help lists the flags.") from error
  except (KeyError, TypeError, AttributeError, OSError, SyntaxError) as error:
    message = " ".join(str(error).split())
    raise UserError(f"--config: {message}.") from error
  if values.version:
    print(f"milan-jax {__version__}")
    sys.exit(0)
  if values.help or values.helpshort or values.helpfull:
    print(usage(kind))
    sys.exit(0)
  if not isinstance(config, kind):
    raise UserError(
      f"--config: expected {kind.__name__}, found {found}; was the file written for "
      "another command?"
    )
  given = {
    name: values[name].value for name in fields.options_of(kind) if values[name].present
  }
  return fields.replace(config, **given), positional
