"""Serves the local page."""

import contextlib
import errno
import os
import socket
import threading
from collections.abc import Iterator

from milan_jax._src.app.limits import Limits
from milan_jax._src.app.workbench import Workbench
from milan_jax._src.errors import UserError
from milan_jax._src.options.local_page import LocalPageOptions
from milan_jax._src.runs.progress import say

HOST = "127.0.0.1"
_NAMES = (HOST, "localhost")
# White on the theme's own color of buttons has too little contrast, and so has its gray
# of what stands in an empty field.
_COLORS = {
  "input_placeholder_color": "*neutral_600",
  "input_placeholder_color_dark": "*neutral_400",
} | {
  f"button_primary_{part}{scheme}": f"*primary_{shade}"
  for part, shade in (("background_fill", 700), ("background_fill_hover", 800))
  for scheme in ("", "_dark")
}
_REFUSED_PORT = "--port={} cannot be opened ({}): choose another."
# Fonts of the reader's machine: Gradio's own themes fetch theirs.
_FONTS = ("system-ui", "sans-serif")
_MONO = ("ui-monospace", "monospace")


def serve(options: LocalPageOptions) -> None:
  """Serves the page until Ctrl-C.

  Args:
    options: all of them.

  Raises:
    UserError: a run is not finished, Gradio is not installed, the port cannot be
      opened, or there is no public link although `share` asks for one.
  """
  with serving(options) as url:
    say(f"{url}: open this page; Ctrl-C ends it")
    threading.Event().wait()


@contextlib.contextmanager
def serving(options: LocalPageOptions) -> Iterator[str]:
  """Serves the page while the block runs; yields its address.

  Args:
    options: all of them.

  Raises:
    UserError: as for `serve`.
  """
  if options.port is not None:
    check_port(options.port)
  # Read when Gradio is imported.
  os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
  _call_directly(HOST)
  try:
    import gradio as gr
    from starlette.middleware import Middleware

    from milan_jax._src.app.controls import build, style
  except ImportError as error:
    raise UserError(
      f"milan-demo needs Gradio ({error}): run pip install 'milan-jax[app]'."
    ) from error
  page = build(Workbench(options.run_folders, options.captioner_names))
  theme = gr.themes.Base(font=_FONTS, font_mono=_MONO).set(**_COLORS)
  hosts = () if options.share else _NAMES
  try:
    _, local, shared = page.queue(api_open=False, max_size=16).launch(
      server_name=HOST,
      server_port=options.port,
      share=options.share,
      app_kwargs={"middleware": [Middleware(Limits, hosts=hosts)]},
      theme=theme,
      css=style(),
      footer_links=[],
      inbrowser=False,
      prevent_thread_lock=True,
      quiet=True,
      max_threads=4,
      state_session_capacity=64,
      ssr_mode=False,
      pwa=False,
      mcp_server=False,
      run_history=False,
      enable_monitoring=False,
      strict_cors=True,
    )
  except OSError as error:
    if error.errno is not None:
      raise
    # Gradio's own error, the only one without a number: it found no free port.
    if options.port is None:
      raise UserError("All ports that Gradio tries are in use: give --port.") from error
    raise UserError(_REFUSED_PORT.format(options.port, "in use")) from error
  try:
    if options.share and not shared:
      raise UserError(
        "--share: Gradio made no public link; the line above gives its reason. Check "
        "the network, or leave out --share for a page on this machine alone."
      )
    yield shared or local
  finally:
    page.close(verbose=False)


def check_port(port: int) -> None:
  """Refuses a port that cannot be opened.

  Args:
    port: the port of this machine.

  Raises:
    UserError: if another program has it, or the system refuses it.
  """
  with socket.socket() as tried:
    tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
      tried.bind((HOST, port))
    except OSError as error:
      in_use = error.errno == errno.EADDRINUSE
      reason = "in use" if in_use else error.strerror or str(error)
      raise UserError(_REFUSED_PORT.format(port, reason)) from error


def _call_directly(host: str) -> None:
  """Keeps Gradio, which calls its own server once, from a proxy of the environment."""
  known = os.environ.get("no_proxy") or os.environ.get("NO_PROXY") or ""
  if host not in known.split(","):
    os.environ["no_proxy"] = ",".join(filter(None, (known, host)))
