"""Where trials run: Ray Data prepares, Ray Tune sweeps, `here` runs in process. The only place that imports ray."""
