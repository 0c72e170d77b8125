"""Contact sheets of units for annotators, and what they answer."""
