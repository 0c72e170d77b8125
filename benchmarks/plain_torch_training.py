"""The plain way to train both models, in torch: what a ratio to it is a ratio to.

Captions are padded to the longest of their batch, in random order. The language model
is torch's fused LSTM; the captioner is a loop over an LSTM cell. The attention keys are
computed once per caption. The step is loss, gradients, and torch's AdamW.
"""

import torch
from torch import nn
from torch.nn import functional


class PlainCaptioner(nn.Module):
  """The captioner; arrays are (batch, k, features) and (batch, length)."""

  def __init__(
    self, vocab: int, features: int, hidden: int, embedding: int, dropout: float
  ):
    super().__init__()
    attention = min(hidden, features)
    self.init_hidden = nn.Linear(features, hidden)
    self.init_cell = nn.Linear(features, hidden)
    self.embedding = nn.Embedding(vocab, embedding)
    self.query = nn.Linear(hidden, attention)
    self.key = nn.Linear(features, attention)
    self.energy = nn.Linear(attention, 1)
    self.gate = nn.Linear(hidden, features)
    self.cell = nn.LSTMCell(embedding + features, hidden)
    self.output = nn.Sequential(nn.Dropout(dropout), nn.Linear(hidden, vocab))

  def forward(
    self, features: torch.Tensor, inputs: torch.Tensor
  ) -> tuple[torch.Tensor, torch.Tensor]:
    """Returns the log-probabilities and the attentions of each step."""
    mean = features.mean(1)
    hidden, cell = self.init_hidden(mean).tanh(), self.init_cell(mean).tanh()
    keys, embedded = self.key(features), self.embedding(inputs)
    hiddens, attentions = [], []
    for step in range(inputs.shape[1]):
      energies = self.energy((self.query(hidden)[:, None] + keys).tanh())
      attention = energies[..., 0].softmax(-1)
      context = torch.bmm(attention[:, None], features)[:, 0]
      context = context * self.gate(hidden).sigmoid()
      read = torch.cat([embedded[:, step], context], -1)
      hidden, cell = self.cell(read, (hidden, cell))
      hiddens.append(hidden)
      attentions.append(attention)
    logits = self.output(torch.stack(hiddens, 1))
    return logits.log_softmax(-1), torch.stack(attentions, 1)


class PlainLanguageModel(nn.Module):
  """The language model; inputs are (batch, length)."""

  def __init__(
    self, vocab: int, hidden: int, embedding: int, layers: int, dropout: float, pad: int
  ):
    super().__init__()
    self.embedding = nn.Embedding(vocab, embedding, padding_idx=pad)
    self.lstm = nn.LSTM(embedding, hidden, layers, batch_first=True, dropout=dropout)
    self.output = nn.Linear(hidden, vocab)

  def forward(self, inputs: torch.Tensor) -> torch.Tensor:
    """Returns the log-probabilities of each step."""
    states, _ = self.lstm(self.embedding(inputs))
    return self.output(states).log_softmax(-1)


def take_step(
  model: nn.Module,
  optimizer: torch.optim.Optimizer,
  inputs: torch.Tensor,
  targets: torch.Tensor,
  features: torch.Tensor | None,
  pad: int,
) -> float:
  """Takes a step of training; returns the loss before it.

  Args:
    model: one of the models above.
    optimizer: its optimizer.
    inputs: the tokens to read, padded to the longest caption.
    targets: the tokens to predict.
    features: the regions' features; None for the language model.
    pad: the padding id.
  """
  if features is None:
    log_probs, penalty = model(inputs), 0.0
  else:
    log_probs, attentions = model(features, inputs)
    penalty = (1 - attentions.sum(1)).square().mean()
  log_probs, targets = log_probs.flatten(0, 1), targets.flatten()
  nll = functional.nll_loss(log_probs, targets, ignore_index=pad)
  loss = nll + penalty
  optimizer.zero_grad()
  loss.backward()
  optimizer.step()
  return float(loss.detach())
