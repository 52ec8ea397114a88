"""Entry points for `ray job submit --working-dir . -- python -m jobs.evaluate ...`: the command line's verbs on the job's own cluster."""
