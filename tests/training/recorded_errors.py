"""How far the trainer's steps are from the original's, as docs/training.md states it.

python -m tests.training.recorded_errors
"""

import jax
import numpy as np

from tests.training import recorded_fit
from tests.training import reference_models as models


def _norm_errors(gradients, norms):
  """Relative errors of the norms of gradients, of which one is zero in the original."""
  found = [np.linalg.norm(each) for each in jax.tree.leaves(gradients)]
  pairs = zip(found, jax.tree.leaves(norms), strict=True)
  return [abs(ours / theirs - 1) for ours, theirs in pairs if theirs > 1e-6]


def errors():
  """The largest relative errors, by what they are of."""
  arrays, names = models.training_reference()
  table = recorded_fit.features_of_units()
  captioner = recorded_fit.fit("captioner", gather=lambda rows: table[rows])
  lm = recorded_fit.fit("language_model", epochs=1)
  expected = arrays["losses_nll_reg_total"]
  losses = np.array(recorded_fit.losses_of(captioner))
  norms, lm_norms = (
    {name: np.array(n) for name, n in zip(names[f"{kind}grad_names"], own, strict=True)}
    for kind, own in (("", arrays["grad_norms"]), ("lm_", arrays["lm_grad_norms"]))
  )
  of_norms = _norm_errors(captioner.gradients, models.captioner_params(norms))
  of_lm_norms = _norm_errors(lm.gradients, models.language_model_params(lm_norms))
  differences = [
    np.abs(ours - theirs).max() / np.abs(theirs).max()
    for name, ours in models.recorded_gradients(captioner.gradients).items()
    for theirs in (arrays[f"grad/{name}"],)
  ]
  return {
    "captioner's loss and both terms": np.abs(losses / expected - 1).max(),
    f"norms of the captioner's {len(of_norms)} gradients": max(of_norms),
    f"largest difference over largest entry, {len(differences)} gradients": max(
      differences
    ),
    "language model's loss": abs(lm.training[0]["nll"] / arrays["lm_loss"] - 1),
    f"norms of its {len(of_lm_norms)} gradients": max(of_lm_norms),
  }


if __name__ == "__main__":
  for what, error in errors().items():
    print(f"{what}: {error:.1e}")
