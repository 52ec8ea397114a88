"""Where trials run: Ray Data prepares, Ray Tune sweeps, `local` runs in process. The only place that imports ray."""
