"""Typed configurations as command-line flags."""

import dataclasses
import pathlib
import sys
from collections.abc import Sequence
from typing import Any

from absl import flags
from ml_collections import config_flags

from milan_jax._src.errors import UserError
from milan_jax._src.version import __version__

_DEFINE = {
  bool: flags.DEFINE_boolean,
  bool | None: flags.DEFINE_boolean,  # None is "not given"
  int: flags.DEFINE_integer,
  float: flags.DEFINE_float,
  str: flags.DEFINE_string,
}
# Flags that ask something of the command: name, short name, text.
_ASKS = (
  ("help", "h", "show this help"),
  ("helpshort", None, "show this help"),
  ("helpfull", None, "show this help"),
  ("version", None, "show the version"),
)


def _flag_values(kind: type, arguments: Sequence[str]) -> flags.FlagValues:
  values = flags.FlagValues()
  for field in dataclasses.fields(kind):
    text = f"{field.metadata['help']} (default: {field.default!r})"
    _DEFINE[field.type](field.name, None, text, flag_values=values)  # type: ignore
  config_flags.DEFINE_config_file(
    "config",
    None,
    "file with a function get_config that returns the options",
    flag_values=values,
    sys_argv=list(arguments),
  )
  for name, short, text in _ASKS:
    flags.DEFINE_boolean(name, False, text, short_name=short, flag_values=values)
  return values


def _shipped_configs(arguments: Sequence[str]) -> list[str]:
  """Finds `--config=configs/NAME.py` in the package where there is no such file."""
  here = pathlib.Path(__file__).resolve().parents[2]
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
    for shipped in (here / path, here.parent / path):
      if shipped.is_file():
        found[index] = f"{flag}={shipped}" if flag else str(shipped)
        break
  return found


def usage(kind: type, values: flags.FlagValues) -> str:
  """Returns a command's help."""
  lines = [kind.__doc__ or "", "", "Flags (also fields of a --config file):"]
  for field in dataclasses.fields(kind):
    lines.append(f"  --{field.name}: {values[field.name].help}")
  lines.append(f"  --config: {values['config'].help}")
  lines.append("Others:")
  for name, short, text in _ASKS:
    lines.append(f"  --{name}{f', -{short}' if short else ''}: {text}")
  return "\n".join(lines)


def parse(kind: type, arguments: Sequence[str]) -> tuple[Any, list[str]]:
  """Reads a configuration from flags and, if `--config` names one, a file.

  A flag given by itself wins over the file; `--config.field=value` changes the file.

  Args:
    kind: a dataclass whose fields have a default and a help text.
    arguments: the command and its arguments.

  Returns:
    The configuration and the positional arguments.

  Raises:
    UserError: an unknown flag or field, a value of the wrong type, a bad file.
    SystemExit: after printing the help or version that was asked for.
  """
  arguments = _shipped_configs(arguments)
  values = _flag_values(kind, arguments)
  try:
    _, *positional = values(list(arguments))
    config = values.config if values.config is not None else kind()
    # A file that did not load says so when a field is read.
    found = type(config).__name__
    if not dataclasses.is_dataclass(config):
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
    print(usage(kind, values))
    sys.exit(0)
  if found != kind.__name__:
    raise UserError(
      f"--config: expected a {kind.__name__}, found a {found}; "
      "was the file written for another command?"
    )
  given = {
    field.name: values[field.name].value
    for field in dataclasses.fields(kind)
    if values[field.name].present
  }
  return dataclasses.replace(config, **given), positional
