"""The command line: the verbs of the package, `sr-course VERB --help` for each.

Each verb is one function that takes the parsed arguments and returns the exit status. An error meant for people
(`CourseError`) is printed as one line and gives status 2, as wrong usage does.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from sr_course import __version__
from sr_course.errors import CourseError


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of `sr-course`, with every verb."""
    parser = argparse.ArgumentParser(prog="sr-course", description="Image super-resolution: course and reference code.")
    parser.add_argument("--version", action="version", version=f"sr-course {__version__}")
    parser.add_subparsers(title="verbs", dest="verb", required=True, metavar="VERB")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run one verb and return its exit status: 0 done, 1 found wanting (`doctor`, `verify`), 2 could not be done."""
    arguments = build_parser().parse_args(argv)
    try:
        status: int = arguments.run(arguments)
    except CourseError as error:
        print(f"sr-course: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("sr-course: stopped.", file=sys.stderr)
        return 130
    return status
