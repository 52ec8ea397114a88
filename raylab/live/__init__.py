"""A trained model on a running stream: sources, causal windows, decisions, calibration by the wearer, and a page that shows them."""
