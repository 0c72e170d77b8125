"""The one error that is the user's to mend."""


class UserError(ValueError):
  """Bad input: says what was expected, what was found and what to do.

  The command line prints the message on standard error, without a traceback, and
  exits with code 2. Everything else that is raised is a defect of ours.
  """
