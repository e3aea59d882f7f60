"""The widgets of the lessons, one file each, its front-end file beside it."""

from sr_course.widgets.compare import CompareSlider

__all__ = ["CompareSlider"]
