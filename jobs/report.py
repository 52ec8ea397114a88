"""`python -m jobs.report ...`: `raylab report ...` inside a submitted Ray job; the exit code is the job's."""

import sys

from raylab.cli import main

if __name__ == "__main__":
    sys.argv = ["raylab", "report", *sys.argv[1:]]
    main()
