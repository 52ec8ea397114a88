"""Models: networks of an encoder per channel, a fusion, an adapter and a head, and classical models that are fitted at once."""
