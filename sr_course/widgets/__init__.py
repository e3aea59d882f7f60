"""The widgets of the lessons, one file each, its front-end file beside it."""

from sr_course.widgets.compare import CompareSlider
from sr_course.widgets.gan_dashboard import Case, GanDashboard
from sr_course.widgets.gan_stepper import GanStepper
from sr_course.widgets.live_curve import LiveCurve
from sr_course.widgets.resample_bench import ResampleBench
from sr_course.widgets.scrubber import TrainingScrubber

__all__ = ["Case", "CompareSlider", "GanDashboard", "GanStepper", "LiveCurve", "ResampleBench", "TrainingScrubber"]
