"""Text: tokenizer, vocabulary, reconstruction."""
