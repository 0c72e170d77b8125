"""Ctrl-C: a stopped command prints one line and exits with 130.

Python itself raises KeyboardInterrupt in whatever runs at the time. Imports print it or
take it for a missing library, callbacks and finalizers drop it, and a call into XLA
that compiles delays it. So a thread hears of the signal first: it prints the line at
once, and ends the process where the main thread does not.
"""

import atexit
import os
import signal
import socket
import sys
import threading
from types import FrameType
from typing import Any

# Seconds that the main thread has to close what it has open. All that it writes stands
# being killed.
_GRACE = 3.0


class Interrupts:
  """What Ctrl-C does while a command runs.

  At first the process ends at once, since nothing is open; after `unwind` the main
  thread gets a KeyboardInterrupt. Where SIGINT is ignored or handled by somebody else,
  or outside the main thread, nothing is changed.

  Args:
    name: the command's name, for the line.
  """

  def __init__(self, name: str):
    self.heard = False
    self._name = name
    self._unwinds = self._raised = False
    self._said, self._saying = False, threading.RLock()
    self._handles = (
      threading.current_thread() is threading.main_thread()
      and signal.getsignal(signal.SIGINT) is signal.default_int_handler
    )
    if self._handles:
      signal.signal(signal.SIGINT, self._interrupt)
      self._receiver, self._sender = socket.socketpair()
      self._sender.setblocking(False)
      self._earlier = signal.set_wakeup_fd(
        self._sender.fileno(), warn_on_full_buffer=False
      )
      threading.Thread(target=self._listen, daemon=True).start()

  def unwind(self) -> None:
    """From now on there may be something to close: raises KeyboardInterrupt."""
    self._unwinds = True

  def say(self) -> None:
    """Prints that the command was stopped, the first time that it is asked to."""
    self.heard = True
    with self._saying:
      if not self._said:
        self._said = True
        # Behind a bar, or behind the terminal's ^C.
        start = "\n" if sys.stderr.isatty() else ""
        line = f"{self._name}: stopped; run the same command to resume."
        print(start + line, file=sys.stderr, flush=True)

  def end(self) -> None:
    """Puts back what Ctrl-C did before. An interpreter that ends ignores it."""
    if not self._handles or self.heard:
      return  # the thread watches that a stopped process ends
    atexit.register(signal.signal, signal.SIGINT, signal.SIG_IGN)
    signal.set_wakeup_fd(self._earlier)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    self._sender.setblocking(True)
    self._sender.sendall(b"\0")

  def _interrupt(self, number: int, frame: FrameType | None) -> None:
    self.heard = True
    if not self._unwinds:
      self.say()
      os._exit(130)
    if not self._raised:  # once: then the thread counts the seconds
      self._raised = True
      sys.unraisablehook = _without_interrupts
      raise KeyboardInterrupt

  def _listen(self) -> None:
    while received := self._receiver.recv(1):
      if received == b"\0":
        break
      if received[0] == signal.SIGINT:
        self.say()
        if self._unwinds:
          threading.Event().wait(_GRACE)
        os._exit(130)
    self._receiver.close()
    self._sender.close()


def _without_interrupts(unraisable: Any) -> None:
  """Prints what a finalizer or callback could not raise, unless it is Ctrl-C."""
  if not issubclass(unraisable.exc_type, KeyboardInterrupt):
    sys.__unraisablehook__(unraisable)
