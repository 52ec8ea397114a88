"""Features of an utterance's sound, words and picture, each with a time base of its own."""
