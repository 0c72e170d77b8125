"""The error for bad input, and a hint for an unknown name."""

import difflib
from collections.abc import Iterable


class UserError(ValueError):
  """Bad input: says what was expected, what was found and what to do.

  The command line prints the message on standard error, without a traceback, and
  exits with code 2. Any other exception is a bug in milan-jax.

  Example:
    >>> try:
    ...   milan_jax.load("startr")
    ... except milan_jax.UserError as error:
    ...   print(str(error).split(".")[0])
    no captioner is called 'startr'
  """


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
