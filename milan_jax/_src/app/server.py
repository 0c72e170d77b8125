"""Serves the local page."""

import contextlib
import os
import threading
from collections.abc import Iterator

from milan_jax._src.app.limits import Limits
from milan_jax._src.app.workbench import Workbench
from milan_jax._src.errors import UserError
from milan_jax._src.options.local_page import LocalPageOptions
from milan_jax._src.runs.progress import say

HOST = "127.0.0.1"
_NAMES = (HOST, "localhost")
# Fonts of the reader's machine: Gradio's own themes fetch theirs.
_FONTS = ("system-ui", "sans-serif")
_MONO = ("ui-monospace", "monospace")


def serve(options: LocalPageOptions) -> None:
  """Serves the page until Ctrl-C.

  Args:
    options: all of them.

  Raises:
    UserError: a run is not finished, Gradio is not installed, or the port is in use.
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
  # Read when Gradio is imported.
  os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
  try:
    import gradio as gr
    from starlette.middleware import Middleware

    from milan_jax._src.app.controls import build, style
  except ImportError as error:
    raise UserError(
      f"milan-demo needs Gradio ({error}): run pip install 'milan-jax[app]'."
    ) from error
  page = build(Workbench(options.run_folders, options.captioner_names))
  theme = gr.themes.Base(font=_FONTS, font_mono=_MONO)
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
    raise UserError(
      "--port: expected a free port; "
      f"{'those from 7860 on are' if options.port is None else f'{options.port} is'} "
      "in use: choose another."
    ) from error
  try:
    yield shared or local
  finally:
    page.close(verbose=False)
