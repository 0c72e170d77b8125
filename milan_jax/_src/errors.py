"""The error for bad input, and a hint for an unknown name."""

import contextlib
import difflib
import re
from collections.abc import Iterable, Iterator

_FLAG = re.compile(r"(?<![\w/-])--([a-z]\w*)")
# What serves in Python where a flag has no argument.
_IN_PYTHON = {"list_layers": "network.probe.layers()"}


class UserError(ValueError):
  """Bad input: states what was expected, what was found and what to do.

  The command line prints the message on standard error, without a traceback, and
  exits with code 2. Any other exception is a bug in milan-jax.

  Messages are written with flags, such as `--batch_size`. The command line prints them
  as they are (`for_command_line`); `str` gives the names of Python's arguments instead,
  `batch_size`.

  Example:
    >>> try:
    ...   milan_jax.load("startr")
    ... except milan_jax.UserError as error:
    ...   print(str(error).split(".")[0])
    there is no captioner 'startr'
  """

  def __init__(self, message: str):
    """Takes the message, in which options are flags."""
    super().__init__(message)
    self._arguments = dict(_IN_PYTHON)

  def __str__(self) -> str:
    return _FLAG.sub(
      lambda flag: self._arguments.get(flag[1], flag[1]), self.for_command_line
    )

  @property
  def for_command_line(self) -> str:
    """The message with flags."""
    return str(self.args[0])

  def rename(self, **arguments: str) -> None:
    """Sets what arguments are called where that is not the flag's name.

    Args:
      arguments: by flag.
    """
    self._arguments.update(arguments)


@contextlib.contextmanager
def arguments(**names: str) -> Iterator[None]:
  """Names, in the errors of a block or a function, its arguments in place of flags.

  The outermost block wins: it is nearest to the caller.

  Args:
    names: of arguments that are not called as their flag, by flag.
  """
  try:
    yield
  except UserError as error:
    error.rename(**names)
    raise


def did_you_mean(name: str, known: Iterable[str]) -> str:
  """A sentence, after a space, that offers the known names most like an unknown one.

  Returns:
    An empty text if none is like it.
  """
  names = list(known)
  near = difflib.get_close_matches(name, names, n=5, cutoff=0.5)
  within = name.strip("*")
  near += [one for one in names if within and within in one and one not in near]
  *others, last = near[:5] or [""]
  start = f"{', '.join(others)} or " if others else ""
  return f" Did you mean {start}{last}?" if last else ""
