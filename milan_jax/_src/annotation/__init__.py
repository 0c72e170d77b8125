"""Contact sheets of units for annotators, and the annotators' answers."""
