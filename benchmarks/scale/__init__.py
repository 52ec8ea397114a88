"""Growth laws of raylab on simulated indexes: what a study costs before and beside its trainings (docs/results/scale.md)."""
