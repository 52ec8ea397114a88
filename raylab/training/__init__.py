"""Training: stages with their hashes, the training loop, groups of workers, and the store of trained stages."""
