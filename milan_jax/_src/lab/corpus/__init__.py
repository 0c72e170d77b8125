"""Region sets with known truth, built from photographs."""
