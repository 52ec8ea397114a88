"""What is computed from an utterance's sound, words and picture, each with its own time base."""
