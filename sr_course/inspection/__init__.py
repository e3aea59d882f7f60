"""Look inside a network: its layers, what they answer to a picture, what they see of it, and what each is good for.

Nothing here changes a network: it runs in evaluation mode, without a trace in its modes, hooks, gradients, device or
precision when the call is over, also after an error. Nothing needs a notebook; `sr_course.widgets.FeatureExplorer`
draws what is computed here.

    anatomy = look(network, lr)                    # the layers as a tree: shape, parameters, what a pixel sees
    maps = record(network, lr, "head.conv")        # (C, h, w), what one layer answers
    seen = effective_field(network, lr, "trunk", channel=0, row=12, column=12)
    lost = importance(network, lr, "head.conv", truth=hr)
    why = attribute(network, lr, patch=(40, 40, 16))
"""

from sr_course.inspection.ablation import Importance, ablated, importance, judge
from sr_course.inspection.attribution import Attribution, attribute, diffusion_index, gini
from sr_course.inspection.fields import Arithmetic, Field, Reach, arithmetic, effective_field, effective_side
from sr_course.inspection.layers import Anatomy, Layer, look, record
from sr_course.inspection.running import MOST_SIDE, in_evaluation, prepare

__all__ = [
    "MOST_SIDE",
    "Anatomy",
    "Arithmetic",
    "Attribution",
    "Field",
    "Importance",
    "Layer",
    "Reach",
    "ablated",
    "arithmetic",
    "attribute",
    "diffusion_index",
    "effective_field",
    "effective_side",
    "gini",
    "importance",
    "in_evaluation",
    "judge",
    "look",
    "prepare",
    "record",
]
