"""Batches, splits and early stopping against what can be counted by hand."""

import collections
import itertools

import numpy as np
import pytest

from milan_jax._src import errors
from milan_jax._src.text import vocabulary
from milan_jax._src.training import batches, early_stopping
from milan_jax._src.training import splitting as splits

WORDS = vocabulary.Vocabulary(("a", "b", "c"))
START, STOP, PAD, UNK = WORDS.start_id, WORDS.stop_id, WORDS.pad_id, WORDS.unk_id
CAPTIONS = [[["a"], ["b", "c"]], [["c"] * 9], [["a", "d"]], [["b"]]]


def make(rows, **options):
  return batches.make_samples(CAPTIONS, rows, vocabulary=WORDS, **options)


def test_a_sample_is_a_caption_not_a_unit():
  samples = make([0, 2])
  assert samples.rows.tolist() == [0, 0, 2]
  assert samples.tokens.tolist() == [
    [START, 0, STOP, PAD],
    [START, 1, 2, STOP],
    [START, 0, UNK, STOP],
  ]


def test_a_length_cuts_captions():
  assert make([1], length=2).tokens.tolist() == [[START, 2, 2, STOP]]


def test_an_input_s_target_is_the_token_after_it():
  (batch,) = batches.batches(make([0, 2]), batch_size=4, pad_id=PAD)
  assert batch.inputs[:, :3].tolist() == [
    [START, 0, STOP],
    [START, 1, 2],
    [START, 0, UNK],
    [PAD, PAD, PAD],
  ]
  assert batch.targets[:, :3].tolist() == [
    [0, STOP, PAD],
    [1, 2, STOP],
    [0, UNK, STOP],
    [PAD, PAD, PAD],
  ]
  assert (batch.inputs[:, 4:] == PAD).all() and (batch.targets[:, 3:] == PAD).all()
  assert batch.weights.tolist() == [1, 1, 1, 0]
  assert batch.features is None


def test_lengths_are_few_and_long_enough():
  samples = make([1, 3])
  long, short = batches.batches(samples, batch_size=1, pad_id=PAD)
  # Nine words and stop; one word and stop.
  assert long.targets.shape == (1, 16) and short.targets.shape == (1, 8)
  assert long.targets[0, :10].tolist() == [2] * 9 + [STOP]


@pytest.mark.parametrize(("num_words", "length"), [(6, 8), (7, 8), (8, 16)])
def test_stop_is_never_cut_off(num_words, length):
  samples = batches.make_samples([[["a"] * num_words]], [0], vocabulary=WORDS)
  (batch,) = batches.batches(samples, batch_size=1, pad_id=PAD)
  assert batch.targets.shape == (1, length)
  assert batch.targets[0, num_words] == STOP


def test_features_are_those_of_the_caption_s_unit():
  features = np.arange(4, dtype=np.float32)[:, None, None] + np.zeros((1, 2, 3), "f4")
  first, second = batches.batches(
    make([0, 2]), batch_size=2, pad_id=PAD, gather=lambda rows: features[rows]
  )
  assert first.features[:, 0, 0].tolist() == [0, 0]
  assert second.features[:, 1, 2].tolist() == [2, 0]
  assert second.features.shape == (2, 2, 3)


def test_skipping_batches_leaves_the_others_as_they_were():
  samples = make([0, 1, 2, 3])
  every = list(batches.batches(samples, batch_size=2, pad_id=PAD))
  assert len(every) == batches.num_batches(samples, 2) == 3
  (last,) = batches.batches(samples, batch_size=2, pad_id=PAD, start=2)
  np.testing.assert_array_equal(last.inputs, every[2].inputs)


def test_rows_are_a_multiple_of_the_devices_and_none_is_lost():
  samples = make([0, 1, 2, 3])
  found = list(batches.batches(samples, batch_size=3, pad_id=PAD, num_devices=4))
  assert [len(batch.weights) for batch in found] == [4, 4]
  assert [batch.weights.sum() for batch in found] == [3, 2]


def test_an_epoch_s_order_is_decided_by_seed_and_epoch():
  samples = batches.Samples(np.arange(50)[:, None], np.arange(50) * 10)
  orders = [
    batches.shuffled(samples, seed=seed, epoch=epoch).rows.tolist()
    for seed, epoch in [(0, 0), (0, 0), (0, 1), (1, 0)]
  ]
  assert orders[0] == orders[1]
  assert len({tuple(order) for order in orders}) == 3
  assert all(sorted(order) == samples.rows.tolist() for order in orders)
  shuffled = batches.shuffled(samples, seed=0, epoch=0)
  assert (shuffled.tokens[:, 0] * 10 == shuffled.rows).all()


def test_batches_of_similar_lengths_are_those_of_a_plain_loop():
  rng = np.random.default_rng(5)
  numbers = rng.choice([1, 6, 7, 8, 15, 16, 30], size=83)
  captions = [[["a"] * number] for number in numbers]
  samples = batches.make_samples(captions, range(83), vocabulary=WORDS)
  for seed, epoch in [(0, 0), (0, 1), (4, 0)]:
    found = batches.grouped(samples, batch_size=5, pad_id=PAD, seed=seed, epoch=epoch)
    draws = np.random.default_rng((seed, epoch))
    order = draws.permutation(83).tolist()
    # The number of 8s that hold the words and the stop.
    by_bucket = {bucket: [] for bucket in range(1, 5)}
    for each in order[:80]:
      by_bucket[int(numbers[each] // 8) + 1].append(each)
    line = [each for bucket in by_bucket.values() for each in bucket]
    expected = []
    for index in draws.permutation(16):
      expected += line[5 * index : 5 * index + 5]
    expected += order[80:]
    assert found.rows.tolist() == expected
    assert ((found.tokens == 0).sum(axis=1) == numbers[expected]).all()
    every = list(batches.batches(found, batch_size=5, pad_id=PAD))
    mixed = 0
    for index, batch in enumerate(every[:-1]):
      words = numbers[expected[5 * index : 5 * index + 5]]
      assert batch.inputs.shape[1] == 8 * (words.max() // 8 + 1)
      mixed += words.max() // 8 != words.min() // 8
    assert mixed <= 3


def test_sorting_by_length_keeps_the_order_of_equal_lengths():
  samples = make([1, 0, 2, 3])
  assert batches.by_length(samples, pad_id=PAD).rows.tolist() == [0, 0, 2, 3, 1]
  assert batches.padded_lengths(samples, pad_id=PAD).tolist() == [16, 8, 8, 8, 8]


def test_no_unit_is_in_two_parts_and_none_is_lost():
  split = splits.split_units(103, validation_fraction=0.2, test_fraction=0.1, seed=7)
  assert [len(part) for part in split] == [72, 21, 10]
  assert sorted(np.concatenate(split).tolist()) == list(range(103))


def test_a_split_is_decided_by_its_seed():
  first, again, other = (splits.split_units(50, seed=seed) for seed in (3, 3, 4))
  for a, b in zip(first, again, strict=True):
    np.testing.assert_array_equal(a, b)
  assert first.test.tolist() != other.test.tolist()
  assert first.test.tolist() != first.validation.tolist()


def test_few_units_have_a_part_each_or_are_refused():
  assert [len(part) for part in splits.split_units(3)] == [1, 1, 1]
  with pytest.raises(errors.UserError, match="2 annotated units leave none"):
    splits.split_units(2)
  with pytest.raises(
    errors.UserError, match="test_fraction: expected a number between"
  ):
    splits.split_units(10, test_fraction=0.0)


def stops_after(losses, patience=4):
  """Number of epochs run on these losses, and the best epoch."""
  state = early_stopping.EarlyStopping(patience)
  for loss in losses:
    state = state.updated(float(loss))
    if state.stop:
      break
  return state.epoch, state.best_epoch


@pytest.mark.parametrize(
  ("losses", "expected"),
  [
    ([5, 6, 6, 6, 6, 6, 6, 6], (6, 0)),  # the fifth epoch without improvement
    ([5, 6, 6, 6, 6, 4, 6, 6, 6, 6, 6, 1], (11, 5)),  # four are forgiven
    ([5, 4, 3, 2, 1], (5, 4)),
    ([5, 5, 5, 5, 5, 5, 5], (6, 0)),  # an equal loss is not an improvement
    ([5, float("nan"), 6, 6, 6, 6, 1], (6, 0)),
    ([3, 4, 3.5, 3.4, 3.3, 3.2, 2], (6, 0)),  # better than before, not than the best
  ],
)
def test_the_fifth_epoch_without_improvement_stops(losses, expected):
  assert stops_after(losses) == expected


def test_no_patience_stops_at_the_first():
  assert stops_after([5, 4, 4.5, 1], patience=0) == (3, 1)


def test_improved_is_of_the_last_epoch():
  state = early_stopping.EarlyStopping()
  assert not state.improved
  state = state.updated(2.0)
  assert state.improved and state.best == 2
  assert not state.updated(3.0).improved


def test_chosen_lengths_need_the_fewest_steps(monkeypatch):
  monkeypatch.setattr(batches, "STEPS_PER_LENGTH", 28)
  numbers = {2: 30, 3: 25, 5: 40, 6: 9, 9: 4, 14: 2}  # targets: captions
  captions = [[["a"] * (n - 1)] for n, count in numbers.items() for _ in range(count)]
  samples = batches.make_samples(captions, range(len(captions)), vocabulary=WORDS)

  def cost(lengths):
    steps = sum(
      count * min(length for length in lengths if length >= n)
      for n, count in numbers.items()
    )
    return steps + 28 * len(lengths)

  options = [
    (*some, 14)
    for size in range(6)
    for some in itertools.combinations(sorted(numbers)[:-1], size)
  ]
  chosen = batches.choose_lengths(samples, pad_id=PAD)
  assert chosen in options and 1 < len(chosen) < 6
  assert cost(chosen) == min(map(cost, options))
  padded = batches.padded_lengths(samples, pad_id=PAD, lengths=chosen)
  assert padded.sum() + 28 * len(chosen) == cost(chosen)
  # Captions longer than those that the lengths were chosen for.
  longer = make([1])
  assert batches.padded_lengths(longer, pad_id=PAD, lengths=(3, 5)).tolist() == [16]


@pytest.mark.parametrize("num_devices", [1, 2])
def test_positions_are_those_of_real_tokens_first_on_each_device(num_devices):
  rng = np.random.default_rng(3)
  is_real = np.arange(20)[None] < rng.integers(1, 9, size=(6, 1))
  found = batches.real_positions(is_real, num_devices)
  rows = 6 // num_devices
  assert found.shape[0] == num_devices
  assert found.shape[1] % (rows * 5) == 0  # few shapes
  for device, positions in enumerate(found):
    here = is_real[device * rows : (device + 1) * rows]
    real = [step * rows + row for step in range(20) for row in range(rows)]
    real = [place for place in real if here[place % rows, place // rows]]
    assert positions[: len(real)].tolist() == real
    assert len(set(positions.tolist())) == len(positions)


@pytest.mark.parametrize("num_devices", [1, 4])
def test_epochs_by_length_have_one_shape_for_each_length(num_devices):
  rng = np.random.default_rng(4)
  numbers = rng.permutation(np.resize([2, 3, 3, 4, 4, 5, 6, 9, 16, 30], 2005))
  captions = [[["a"] * (number - 1)] for number in numbers]
  samples = batches.make_samples(captions, range(len(captions)), vocabulary=WORDS)
  shape = {"batch_size": 64, "pad_id": PAD, "lengths": (4, 6, 16, 30)}
  orders = [batches.grouped(samples, **shape, seed=0, epoch=each) for each in range(4)]
  chosen = batches.choose_positions(orders, **shape, num_devices=num_devices)
  assert sorted(chosen) == [4, 6, 16, 30]
  rows, most = 64 // num_devices, collections.Counter()
  for order in orders:
    for batch in batches.batches(
      order, **shape, num_devices=num_devices, positions=chosen
    ):
      is_real, length = batch.targets != PAD, batch.inputs.shape[1]
      own = is_real.reshape(num_devices, rows, length).swapaxes(1, 2)
      own = own.reshape(num_devices, -1)
      most[length] = max(most[length], own.sum(1).max())
      if chosen[length] == rows * length:
        assert batch.positions is None
        continue
      assert batch.positions.shape == (num_devices, chosen[length])
      read = np.take_along_axis(own, batch.positions, axis=1)
      assert (read.sum(1) == own.sum(1)).all()
  for length, number in chosen.items():
    assert 0 <= number - most[length] < -(-rows * length // 8)


def test_a_batch_with_more_real_tokens_than_chosen_has_its_own_number():
  is_real = np.arange(6)[None] < np.array([[4], [4]])
  assert batches.real_positions(is_real, 1, number=8).shape == (1, 8)
  assert batches.real_positions(is_real, 1, number=7).shape == (1, 9)


def test_no_positions_are_listed_for_objectives_that_read_all():
  tokens = np.array([[8, 1, 9, 0, 0, 0, 0, 0, 0], [8, 9, 0, 0, 0, 0, 0, 0, 0]])
  samples, shape = batches.Samples(tokens, np.arange(2)), {"batch_size": 2, "pad_id": 0}
  (packed,) = batches.batches(samples, **shape)
  (whole,) = batches.batches(samples, **shape, packed=False)
  assert packed.positions.shape == (1, 4) and whole.positions is None
  np.testing.assert_array_equal(packed.targets, whole.targets)


def test_no_positions_are_listed_where_nearly_all_are_real():
  is_real = np.ones((4, 8), bool)
  is_real[0, 6:] = False
  assert batches.real_positions(is_real, 1) is None
