"""What only the notebooks need: `setup()`, pictures and figures with alternative text, results, self-checks."""

from sr_course.lessons.display import figure, show
from sr_course.lessons.results import results
from sr_course.lessons.session import setup

__all__ = ["figure", "results", "setup", "show"]
