"""What tests are built from: cohorts, windows, runs, datasets in their published layouts, clusters, streams."""
