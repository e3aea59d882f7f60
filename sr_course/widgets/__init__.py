"""The widgets of the lessons, one file each, its front-end file beside it."""

from sr_course.widgets.ablation_matrix import Ablation, AblationMatrix, Metric
from sr_course.widgets.blind_choice import BlindChoice, Pair, read_choices, wilson_interval
from sr_course.widgets.compare import CompareSlider
from sr_course.widgets.equal_error import EqualError
from sr_course.widgets.feature_explorer import FeatureExplorer
from sr_course.widgets.gan_dashboard import Case, GanDashboard
from sr_course.widgets.gan_stepper import GanStepper
from sr_course.widgets.interpolation_slider import InterpolationSlider
from sr_course.widgets.live_curve import LiveCurve
from sr_course.widgets.loss_lab import LossLab
from sr_course.widgets.perception_distortion import PerceptionDistortion, PlanePoint, measure_methods
from sr_course.widgets.resample_bench import ResampleBench
from sr_course.widgets.scrubber import TrainingScrubber
from sr_course.widgets.upscale_my_photo import UpscaleMyPhoto

__all__ = [
    "Ablation",
    "AblationMatrix",
    "BlindChoice",
    "Case",
    "CompareSlider",
    "EqualError",
    "FeatureExplorer",
    "GanDashboard",
    "GanStepper",
    "InterpolationSlider",
    "LiveCurve",
    "LossLab",
    "Metric",
    "Pair",
    "PerceptionDistortion",
    "PlanePoint",
    "ResampleBench",
    "TrainingScrubber",
    "UpscaleMyPhoto",
    "measure_methods",
    "read_choices",
    "wilson_interval",
]
