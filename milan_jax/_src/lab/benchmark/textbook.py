"""The baseline of the benchmark: the published algorithm in eager torch.

`textbook` computes what the paper's code computes. It projects the attention keys for
every hypothesis at every step, copies the features for each hypothesis, also steps
finished hypotheses, and reruns the language model over each whole sequence. `hoisted`
is the same search with the keys projected once per unit and without copies; it can also
be compiled by `torch.compile`. All find the same captions as milan-jax if the language
model's score is summed up to the stop.

Source: Hernandez et al. 2022, section 3.
"""

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import nn

from milan_jax._src.store.release import Release

# Tokens and scores.
_Found = tuple[torch.Tensor, torch.Tensor]


def _linear(params: Any) -> nn.Linear:
  kernel = np.asarray(params["kernel"])
  layer = nn.Linear(*kernel.shape)
  layer.weight.data = torch.tensor(np.ascontiguousarray(kernel.T))
  layer.bias.data = torch.tensor(np.asarray(params["bias"]))
  return layer


def _fill(cell: nn.Module, params: Any, suffix: str = "") -> None:
  for name, ours in (("weight_ih", "input_kernel"), ("weight_hh", "hidden_kernel")):
    kernel = np.ascontiguousarray(np.asarray(params[ours]).T)
    getattr(cell, name + suffix).data = torch.tensor(kernel)
  for name, ours in (("bias_ih", "input_bias"), ("bias_hh", "hidden_bias")):
    getattr(cell, name + suffix).data = torch.tensor(np.asarray(params[ours]))


class TextbookDecoder:
  """Greedy, beam and rerank in torch.

  Args:
    release: captioner and language model.
    beam_size: hypotheses per unit.
    length: maximum number of tokens per description, including stop.
    temperature: weight of the language model.
    hoisted: project the keys once and copy no features.
    compiler: backend of `torch.compile` for a step, such as "inductor"; None runs
      eagerly. The language model's LSTM is one fused call and is not compiled.
    device: device of the weights and the search.
  """

  def __init__(
    self,
    release: Release,
    *,
    beam_size: int,
    length: int,
    temperature: float,
    hoisted: bool,
    compiler: str | None = None,
    device: str = "cpu",
  ):
    self.beam_size, self.length, self.temperature = beam_size, length, temperature
    self.hoisted, self.device = hoisted, device
    self.is_compiled = compiler is not None
    self._step_rows: Callable[..., Any] = self._step
    self._extend_beams: Callable[..., Any] = self._extend
    if compiler is not None:
      compile_it = functools.partial(torch.compile, backend=compiler, dynamic=False)
      self._step_rows = compile_it(self._step)
      self._extend_beams = compile_it(self._extend)
    with torch.device(device):
      self._load(release)

  def _load(self, release: Release) -> None:
    params = release.params["captioner"]
    self.start_id = len(release.vocabulary)
    self.stop_id = self.start_id + 1
    self.init_hidden = _linear(params["init_hidden"])
    self.init_cell = _linear(params["init_cell"])
    self.query = _linear(params["attention"]["query"])
    self.key = _linear(params["attention"]["key"])
    self.energy = _linear(params["attention"]["output"])
    self.gate = _linear(params["gate"])
    self.output = _linear(params["output"])
    self.only_stop = torch.full(
      (self.output.out_features,), torch.finfo(torch.float32).min
    )
    self.only_stop[self.stop_id] = 0.0
    self.embedding = torch.tensor(np.asarray(params["embedding"]["embedding"]))
    inputs, gates = params["lstm"]["input_kernel"].shape
    self.cell = nn.LSTMCell(inputs, gates // 4)
    _fill(self.cell, params["lstm"])
    if release.language_model is not None:
      params, spec = release.params["language_model"], release.language_model
      self.lm_embedding = torch.tensor(np.asarray(params["embedding"]["embedding"]))
      self.lm = nn.LSTM(
        spec.embedding_size, spec.hidden_size, spec.num_layers, batch_first=True
      )
      for layer in range(spec.num_layers):
        _fill(self.lm, params[f"lstm_{layer}"], f"_l{layer}")
      self.lm_output = _linear(params["output"])

  def __call__(
    self, features: np.ndarray, strategy: str
  ) -> tuple[np.ndarray, np.ndarray]:
    """Returns the tokens and the score of each unit."""
    search: dict[str, Callable[[torch.Tensor], _Found]] = {
      "greedy": self._greedy,
      "beam": self._best_beam,
      "rerank": self._rerank,
    }
    with torch.no_grad():
      tokens, scores = search[strategy](torch.tensor(features, device=self.device))
    return tokens.cpu().numpy(), scores.float().cpu().numpy()

  def _start(self, features: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    mean = features.mean(dim=1)
    return torch.tanh(self.init_hidden(mean)), torch.tanh(self.init_cell(mean))

  def _step(
    self,
    features: torch.Tensor,
    keys: torch.Tensor | None,
    hidden: torch.Tensor,
    cell: torch.Tensor,
    tokens: torch.Tensor,
  ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Steps rows; `features` are per row, or per unit if `keys` is given."""
    rows = len(hidden)
    query = self.query(hidden)
    if keys is None:
      energies = self.energy(torch.tanh(query[:, None] + self.key(features)))
      attention = energies.softmax(dim=1)
      context = (attention * features).sum(dim=1)
    else:
      units = len(features)
      query = query.reshape(units, -1, 1, query.shape[-1])
      energies = self.energy(torch.tanh(query + keys[:, None]))[..., 0]
      context = torch.bmm(energies.softmax(dim=-1), features).reshape(rows, -1)
    context = context * torch.sigmoid(self.gate(hidden))
    inputs = torch.cat([self.embedding[tokens], context], dim=-1)
    hidden, cell = self.cell(inputs, (hidden, cell))
    return hidden, cell, self.output(hidden).log_softmax(dim=-1)

  def _regions(
    self, features: torch.Tensor, copies: int
  ) -> tuple[torch.Tensor, torch.Tensor | None]:
    if self.hoisted:
      return features, self.key(features)
    return features.repeat_interleave(copies, dim=0), None

  def _greedy(self, features: torch.Tensor) -> _Found:
    hidden, cell = self._start(features)
    regions, keys = self._regions(features, 1)
    batch = len(features)
    last = torch.full((batch,), self.start_id, device=self.device)
    stopped = torch.zeros(batch, dtype=torch.bool, device=self.device)
    scores, picked = torch.zeros(batch, device=self.device), []
    for _ in range(self.length):
      hidden, cell, log_probs = self._step_rows(regions, keys, hidden, cell, last)
      gains, last = log_probs.max(dim=-1)
      scores = scores + gains.masked_fill(stopped, 0.0)
      picked.append(last.masked_fill(stopped, self.stop_id))
      stopped = stopped | (last == self.stop_id)
    return torch.stack(picked, dim=1), scores

  def _beams(self, features: torch.Tensor) -> _Found:
    batch, beam = len(features), self.beam_size
    hidden, cell = self._start(features)
    start = torch.full((batch,), self.start_id, device=self.device)
    regions, keys = self._regions(features, 1)
    hidden, cell, log_probs = self._step_rows(regions, keys, hidden, cell, start)
    scores, last = log_probs.topk(beam, dim=-1)
    hidden, cell = (x.repeat_interleave(beam, dim=0) for x in (hidden, cell))
    regions, keys = self._regions(features, beam)
    tokens = last[:, :, None]
    for _ in range(1, self.length):
      if bool((last == self.stop_id).all()):
        break
      hidden, cell, scores, last, parents = self._extend_beams(
        regions, keys, hidden, cell, scores, last
      )
      tokens = torch.cat(
        [
          tokens.gather(1, parents[:, :, None].expand(-1, -1, tokens.shape[2])),
          last[:, :, None],
        ],
        dim=2,
      )
    padding = self.length - tokens.shape[2]
    return nn.functional.pad(tokens, (0, padding), value=self.stop_id), scores

  def _extend(
    self,
    regions: torch.Tensor,
    keys: torch.Tensor | None,
    hidden: torch.Tensor,
    cell: torch.Tensor,
    scores: torch.Tensor,
    last: torch.Tensor,
  ) -> tuple[torch.Tensor, ...]:
    """Steps all hypotheses and keeps the best of each unit.

    Returns:
      The states, scores and last tokens of the best, and their parents.
    """
    batch, beam = last.shape
    hidden, cell, log_probs = self._step(regions, keys, hidden, cell, last.reshape(-1))
    log_probs = log_probs.reshape(batch, beam, -1)
    stopped = last == self.stop_id
    if self.is_compiled:
      log_probs = torch.where(stopped[..., None], self.only_stop, log_probs)
    else:  # in place, only the stopped ones
      log_probs[stopped] = self.only_stop
    # The best tokens of each hypothesis, then the best of those.
    gains, words = log_probs.topk(beam, dim=-1)
    totals = (scores[:, :, None] + gains).reshape(batch, beam * beam)
    scores, picks = totals.topk(beam, dim=-1)
    parents = picks // beam
    last = words.reshape(batch, beam * beam).gather(1, picks)
    offsets = torch.arange(batch, device=last.device)[:, None] * beam
    rows = (offsets + parents).reshape(-1)
    return hidden[rows], cell[rows], scores, last, parents

  def _best_beam(self, features: torch.Tensor) -> _Found:
    tokens, scores = self._beams(features)
    return tokens[:, 0], scores[:, 0]

  def _rerank(self, features: torch.Tensor) -> _Found:
    tokens, scores = self._beams(features)
    batch, beam, length = tokens.shape
    flat = tokens.reshape(batch * beam, length)
    inputs = nn.functional.pad(flat[:, :-1], (1, 0), value=self.start_id)
    hiddens, _ = self.lm(self.lm_embedding[inputs])
    log_probs = self.lm_output(hiddens).log_softmax(dim=-1)
    gains = log_probs.gather(2, flat[:, :, None])[:, :, 0]
    is_stop = flat == self.stop_id
    counts = (is_stop.cumsum(dim=1) - is_stop.long()) == 0
    lm_scores = (gains * counts).sum(dim=1).reshape(batch, beam)
    reranked = scores - self.temperature * lm_scores
    best = reranked.argmax(dim=1)
    rows = torch.arange(batch, device=self.device)
    return tokens[rows, best], reranked[rows, best]
