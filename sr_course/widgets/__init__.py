"""The widgets of the lessons, one file each, its front-end file beside it."""

from sr_course.widgets.compare import CompareSlider
from sr_course.widgets.resample_bench import ResampleBench

__all__ = ["CompareSlider", "ResampleBench"]
