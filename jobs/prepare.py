"""`python -m jobs.prepare ...`: `raylab prepare ...` inside a submitted Ray job; the exit code is the job's."""

import sys

from raylab.cli import main

if __name__ == "__main__":
    sys.argv = ["raylab", "prepare", *sys.argv[1:], "--address", "auto"]
    main()
