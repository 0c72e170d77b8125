"""Search over descriptions. Takes a step function; knows no model."""
