"""One module per command: a thin call into the package, under the name that the user types."""
