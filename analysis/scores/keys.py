"""The columns that say what a row is about, and the names that stand in them."""

CELL = ["dataset", "label", "model"]  # one table of the comparison, one family of tests
VARIANT = [*CELL, "technique", "variant"]
FOLD = ["participant", "seed"]
REFERENCE_TECHNIQUE = "non_personalized"  # every variant is compared with it
# At the end of a technique's name in every table: a bound, trained on labels that nobody could have. It is no candidate: it is not tested, has no
# part in a family, and no variant of it is chosen.
NOT_ATTAINABLE = "(not attainable)"


def is_bound(technique: object) -> bool:
    """Whether a technique, by its name in tables, is a bound and no candidate."""
    return str(technique).endswith(NOT_ATTAINABLE)


def variant_label(technique: str, variant: str) -> str:
    """The name of a variant in one string: the technique alone if it has no axes (variant ``-``)."""
    return f"{technique} {variant}".removesuffix(" -")
