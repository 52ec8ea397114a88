"""`python -m raylab.cli ...` is `raylab ...`."""

from raylab.cli.application import main

if __name__ == "__main__":
    main()
