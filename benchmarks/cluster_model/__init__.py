"""A discrete-event model of a study on a cluster: measured costs in, hours and dollars out (docs/results/cluster_model.md)."""
