"""Whether raylab finds the truth where it is known, and nothing where there is nothing."""
