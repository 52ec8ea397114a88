"""The columns that say what a row is about, and the names that stand in them."""

CELL = ["dataset", "label", "model"]  # one table of the comparison, one family of tests
VARIANT = [*CELL, "technique", "variant"]
FOLD = ["participant", "seed"]
REFERENCE_TECHNIQUE = "non_personalized"  # every variant is compared with it


def variant_label(technique: str, variant: str) -> str:
    """The name of a variant in one string: the technique alone if it has no axes (variant ``-``)."""
    return f"{technique} {variant}".removesuffix(" -")
