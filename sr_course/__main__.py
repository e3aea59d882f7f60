"""`python -m sr_course` is `sr-course`, and what `torchrun -m sr_course` starts as each rank."""

import os
import sys

from sr_course.cli import main

status = main()
if os.environ.get("WORLD_SIZE", "1") != "1":
    # Everything is written. While Python is taken down, a thread of gloo that is still there can abort the rank, and
    # torchrun would call a run that is done a failure: so leave at once.
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)
sys.exit(status)
