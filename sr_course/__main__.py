"""`python -m sr_course` is `sr-course`."""

import sys

from sr_course.cli import main

sys.exit(main())
