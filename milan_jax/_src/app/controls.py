"""The local page: its controls, in Gradio."""

import importlib.resources
from typing import Any

import gradio as gr

from milan_jax._src.app.handlers import UNITS_TO_SHOW, Handlers
from milan_jax._src.app.uploads import MAX_BYTES, MAX_PICTURES, SIZE, prepare
from milan_jax._src.app.workbench import OWN, Workbench
from milan_jax._src.options.decoding import STRATEGIES

TITLE = "milan-jax: descriptions of units"
_HINT = (
  f"Up to {MAX_PICTURES} pictures. Each is cropped to its central square. Paint what "
  "should be described; without paint it is the whole picture. Pictures are sent to "
  "milan-demo on this machine only, and are not written to disk."
)
# A screen reader reads an answer out, but for the parts that are marked as "off".
_READ_OUT = "element.setAttribute('aria-live', 'polite');"
# Gradio offers each event as an API; the page needs none.
_EVENT: dict[str, Any] = {"api_visibility": "private", "show_progress": "minimal"}


def build(workbench: Workbench) -> gr.Blocks:
  """Builds the page.

  Args:
    workbench: does the work.
  """
  handlers = Handlers(workbench)
  with gr.Blocks(title=TITLE, analytics_enabled=False) as page:
    gr.Markdown("# milan-jax")
    with gr.Row():
      captioner = _dropdown("Captioner", workbench.captioners)
      strategy = _dropdown("Strategy", [OWN, *STRATEGIES])
      # Texts, since an empty number arrives as 0.
      temperature = gr.Textbox(label="Temperature (rerank)", placeholder=OWN)
      beam = gr.Textbox(label="Beam size", placeholder=OWN)
    how = [captioner, strategy, temperature, beam]
    if workbench.runs:
      with gr.Tab("Units"):
        _units_tab(workbench, handlers, how)
    with gr.Tab("Your pictures"):
      _pictures_tab(handlers, how)
    if workbench.runs:
      with gr.Tab("Search"):
        _search_tab(workbench, handlers)
  return page


def _units_tab(workbench: Workbench, handlers: Handlers, how: list[Any]) -> None:
  runs = list(workbench.runs)
  layers = workbench.layers(runs[0])
  with gr.Row():
    run = _dropdown("Run", runs)
    layer = _dropdown("Layer", layers)
    unit = _dropdown("Unit", workbench.units(runs[0], layers[0]))
  button = gr.Button("Describe", variant="primary")
  answer = gr.HTML(js_on_load=_READ_OUT)

  def choose_run(name: str) -> tuple[Any, Any]:
    found = workbench.layers(name)
    return _choices(found), _choices(workbench.units(name, found[0]))

  def choose_layer(name: str, layer: str) -> Any:
    return _choices(workbench.units(name, layer))

  quiet = _EVENT | {"show_progress": "hidden"}
  run.input(choose_run, [run], [layer, unit], **quiet)
  layer.input(choose_layer, [run, layer], [unit], **quiet)
  button.click(handlers.describe_unit, [run, layer, unit, *how], [answer], **_EVENT)


def _pictures_tab(handlers: Handlers, how: list[Any]) -> None:
  gr.Markdown(_HINT)
  painter = gr.HTML(
    "",
    html_template=_asset("painter.html"),
    js_on_load=_asset("painter.js"),
    server_functions=[prepare],
    size=SIZE,
    max_pictures=MAX_PICTURES,
    max_bytes=MAX_BYTES,
  )
  button = gr.Button("Describe the regions", variant="primary")
  answer = gr.HTML(js_on_load=_READ_OUT)
  button.click(handlers.describe_pictures, [painter, *how], [answer], **_EVENT)


def _search_tab(workbench: Workbench, handlers: Handlers) -> None:
  gr.Markdown("A search is by the captioner that described the run.")
  with gr.Row():
    run = _dropdown("Run", list(workbench.runs))
    text = gr.Textbox(label="Description", placeholder="dog faces", max_length=300)
    # Not a slider: the numbers at its ends have too little contrast.
    top = _dropdown("Units to show", list(UNITS_TO_SHOW))
  button = gr.Button("Search", variant="primary")
  found = gr.HTML(js_on_load=_READ_OUT)
  for event in (button.click, text.submit):
    event(handlers.find, [run, text, top], [found], **_EVENT)


def _dropdown(label: str, choices: list[str]) -> gr.Dropdown:
  return gr.Dropdown(choices, value=choices[0], label=label)


def _choices(choices: list[str]) -> Any:
  return gr.update(choices=choices, value=choices[0])


def _asset(name: str) -> str:
  folder = importlib.resources.files("milan_jax._src.app")
  return folder.joinpath(name).read_text(encoding="utf-8")


def style() -> str:
  """Returns the page's style sheet."""
  return _asset("controls.css")
