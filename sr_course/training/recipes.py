"""The recipes of the course: one code path, four sizes for every network."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from sr_course.errors import TrainingError
from sr_course.losses import Term
from sr_course.training.networks import (
    AdversaryOptions,
    PerceptualOptions,
    RRDBOptions,
    SRCNNOptions,
    SRResNetOptions,
)
from sr_course.training.recipe import Recipe


def one_two_five(last: int) -> tuple[int, ...]:
    """Return the steps 0, 1, 2, 5, 10, 20, 50 and so on, and the last: most change happens early in a run."""
    steps = {factor * 10**power for power in range(len(str(last))) for factor in (1, 2, 5)}
    return (0, *sorted(step for step in steps if step < last), last)


SRCNN_PAPER = Recipe(
    name="paper",
    network=SRCNNOptions(kernel_sizes=(9, 5, 5), sub_image=33),
    channel="y",
    augment=False,
    losses=(Term("caffe_euclidean"),),
    # Dong et al. 2016, sec. 4.1: 8 x 10^8 backpropagations, one a sub-image; the authors' solver takes 128 at a time
    steps=6_250_000,
    batch_size=128,
    # the paper cuts 33x33 out of pictures enlarged whole: 52 is the smallest crop whose middle 33 comes out the same
    hr_crop=52,
    optimizer="sgd",
    learning_rate=1e-4,
    learning_rate_factors=(("conv3.", 0.1),),  # Dong et al. 2016, sec. 3.3
    validate_every=10_000,
    checkpoint_every=5_000,
    log_every=500,
    snapshot_steps=one_two_five(6_250_000),
)

SRCNN_LAPTOP = Recipe(
    name="laptop",
    network=SRCNNOptions(kernel_sizes=(9, 5, 5), he_init=True, begin_as_bicubic=True),
    channel="y",
    losses=(Term("mse"),),
    steps=6_000,
    batch_size=8,  # twice the steps on half the pairs come further in the same minutes
    hr_crop=48,
    learning_rate=1e-3,
    schedule="cosine",
    warmup_steps=100,
    final_factor=0.01,
    ema_decay=0.999,
    log_every=50,
    validate_every=500,
    checkpoint_every=500,
    snapshot_steps=one_two_five(6_000),
)

SRCNN_CLASSROOM = replace(
    SRCNN_LAPTOP,
    name="classroom",
    steps=60_000,
    batch_size=64,
    hr_crop=96,
    warmup_steps=2_000,
    log_every=200,
    validate_every=5_000,
    checkpoint_every=2_000,
    snapshot_steps=one_two_five(60_000),
)

SRCNN_SMOKE = replace(
    SRCNN_LAPTOP,
    name="smoke",
    network=SRCNNOptions(kernel_sizes=(5, 1, 3), channels=(8, 4), he_init=True, begin_as_bicubic=True),
    steps=20,
    batch_size=4,
    hr_crop=24,
    warmup_steps=2,
    log_every=5,
    validate_every=10,
    validation_pictures=1,
    checkpoint_every=10,
    snapshot_steps=(0, 10, 20),
)

SRRESNET_PAPER = Recipe(
    name="paper",
    network=SRResNetOptions(),
    losses=(Term("mse"),),
    steps=1_000_000,  # Ledig et al. 2017, sec. 3.2, as are the batch, the crop and Adam at 1e-4
    batch_size=16,
    hr_crop=96,
    learning_rate=1e-4,
    validate_every=5_000,
    checkpoint_every=5_000,
    log_every=500,
    snapshot_steps=one_two_five(1_000_000),
)

SRRESNET_CLASSROOM = replace(
    SRRESNET_PAPER,
    name="classroom",
    steps=20_000,
    batch_size=32,
    learning_rate=2e-4,
    schedule="cosine",
    warmup_steps=500,
    final_factor=0.01,
    ema_decay=0.999,
    log_every=100,
    validate_every=1_000,
    checkpoint_every=1_000,
    snapshot_steps=one_two_five(20_000),
)

SRRESNET_LAPTOP = Recipe(
    name="laptop",
    # 183,915 parameters in many narrow layers; no batch norm, whose statistics of 8 crops are noise to a PSNR
    network=SRResNetOptions(blocks=12, channels=24, batch_norm=False, icnr=True),
    losses=(Term("l1"),),  # Lim et al. 2017 (EDSR), sec. 3.1: comes further than the squared error in PSNR itself
    steps=4_000,
    batch_size=8,
    hr_crop=96,
    learning_rate=1e-3,
    schedule="cosine",
    warmup_steps=200,
    final_factor=0.01,
    ema_decay=0.999,
    log_every=50,
    validate_every=500,
    checkpoint_every=500,
    snapshot_steps=one_two_five(4_000),
)

SRRESNET_SMOKE = replace(
    SRRESNET_LAPTOP,
    name="smoke",
    network=SRResNetOptions(blocks=1, channels=8, batch_norm=False, icnr=True),
    steps=20,
    batch_size=4,
    hr_crop=32,
    warmup_steps=2,
    log_every=5,
    validate_every=10,
    validation_pictures=1,
    checkpoint_every=10,
    snapshot_steps=(0, 10, 20),
)

# The published SRResNet of the zoo has been through phase 1. From one of your own: --start RUN --tanh no
# --batch-norm-eps 1e-5
SRGAN_PAPER = Recipe(
    name="paper",
    network=SRResNetOptions(tanh=True, batch_norm_eps=1e-3),
    start="srresnet",
    # Ledig et al. 2017, eq. 3 to 6: VGG19's last features, after the activation, and 0.001 of the adversary
    losses=(Term("perceptual"), Term("adversarial", 1e-3)),
    perceptual=PerceptualOptions(backbone="vgg19", layers=(("relu5_4", 1.0),), distance="channel_sum"),
    steps=200_000,  # sec. 3.2: half of them at 1e-4, half at 1e-5
    batch_size=16,
    hr_crop=96,
    learning_rate=1e-4,
    schedule="steps",
    milestones=(100_000,),
    milestone_factor=0.1,
    log_every=100,
    validate_every=5_000,
    checkpoint_every=2_000,
    snapshot_steps=one_two_five(200_000),
)

SRGAN_CLASSROOM = replace(
    SRGAN_PAPER,
    name="classroom",
    perceptual=PerceptualOptions(),  # VGG16 ships with the course: no download in class
    steps=6_000,
    milestones=(4_000,),
    ema_decay=0.999,
    log_every=50,
    validate_every=500,
    checkpoint_every=500,
    snapshot_steps=one_two_five(6_000),
)

SRGAN_LAPTOP = Recipe(
    name="laptop",
    network=SRRESNET_LAPTOP.network,
    start="srresnet-s",
    # Weighed by the pull of each side on the pictures: the adversary begins with a thirtieth of the content's, and has
    # a fifth to two fifths of it later. VGG16's last features alone, as in the paper, left a grid on a network as small
    # as this; a discriminator that learns as slowly as the generator did not see the grid in time.
    losses=(Term("perceptual"), Term("adversarial", 0.03), Term("l1", 2.0)),
    perceptual=PerceptualOptions(layers=(("relu3_3", 0.002), ("relu4_3", 0.02))),
    adversary=AdversaryOptions(channels=32, hidden=256, learning_rate_factor=4),
    steps=800,
    batch_size=8,
    hr_crop=64,
    learning_rate=1e-4,
    schedule="steps",
    milestones=(600,),
    milestone_factor=0.1,
    ema_decay=0.98,
    log_every=10,
    validate_every=100,
    checkpoint_every=50,
    snapshot_steps=one_two_five(800),
)

SRGAN_SMOKE = replace(
    SRGAN_LAPTOP,
    name="smoke",
    network=SRRESNET_SMOKE.network,
    start="",
    perceptual=PerceptualOptions(layers=(("relu1_2", 1.0),)),
    adversary=AdversaryOptions(channels=4, hidden=8),
    steps=20,
    batch_size=4,
    hr_crop=32,
    milestones=(10,),
    log_every=2,
    validate_every=10,
    validation_pictures=1,
    checkpoint_every=10,
    snapshot_steps=(0, 10, 20),
)

# Phase 1 of ESRGAN, "the PSNR-oriented model". The authors' later code (BasicSR) does without the halvings, by four
# cosine periods of 250,000 steps each, and lets Adam's second mean forget faster: betas of 0.9 and 0.99.
RRDB_PAPER = Recipe(
    name="paper",
    network=RRDBOptions(),
    losses=(Term("l1"),),  # Wang et al. 2018, sec. 4.1, as are the batch, the crop, the learning rate and the halvings
    steps=1_000_000,  # the authors' code: the paper trains until convergence
    batch_size=16,
    hr_crop=128,
    learning_rate=2e-4,
    betas=(0.9, 0.999),
    schedule="steps",
    milestones=(200_000, 400_000, 600_000, 800_000),
    milestone_factor=0.5,
    log_every=500,
    validate_every=5_000,
    checkpoint_every=5_000,
    snapshot_steps=one_two_five(1_000_000),
)

# A quarter of the paper's blocks, and as many multiplications in all as `classroom` of srresnet.
RRDB_CLASSROOM = replace(
    RRDB_PAPER,
    name="classroom",
    network=RRDBOptions(blocks=6),
    steps=15_000,
    hr_crop=96,
    schedule="cosine",
    milestones=(),
    warmup_steps=400,
    final_factor=0.01,
    ema_decay=0.999,
    log_every=100,
    validate_every=1_000,
    checkpoint_every=500,
    snapshot_steps=one_two_five(15_000),
)

RRDB_LAPTOP = Recipe(
    name="laptop",
    network=RRDBOptions(blocks=4, channels=24, growth=8),  # 292,395 parameters
    losses=(Term("l1"),),
    steps=2_000,
    batch_size=8,
    hr_crop=64,
    learning_rate=1e-3,
    schedule="cosine",
    warmup_steps=100,
    final_factor=0.01,
    ema_decay=0.995,
    log_every=10,
    validate_every=200,
    checkpoint_every=100,
    snapshot_steps=one_two_five(2_000),
)

RRDB_SMOKE = replace(
    RRDB_LAPTOP,
    name="smoke",
    network=RRDBOptions(blocks=1, channels=8, growth=4),
    steps=20,
    batch_size=4,
    hr_crop=32,
    warmup_steps=2,
    log_every=5,
    validate_every=10,
    validation_pictures=1,
    checkpoint_every=10,
    snapshot_steps=(0, 10, 20),
)

# The other places where the authors' code (BasicSR) and the paper part ways: the code takes half of the two sums of
# equations 1 and 2, so that its 0.005 is half of this one; betas of 0.9 and 0.99; a discriminator that halves by
# kernels of 4 pixels, with 100 hidden features. Here it is SRGAN's, for the paper names no other.
ESRGAN_PAPER = Recipe(
    name="paper",
    network=RRDB_PAPER.network,
    start="runs/rrdb-paper",  # where `sr-course train rrdb --recipe paper` leaves phase 1
    # Wang et al. 2018, eq. 3, with lambda and eta of sec. 4.1
    losses=(Term("perceptual"), Term("adversarial", 5e-3), Term("l1", 1e-2)),
    # sec. 3.3: "VGG19-54" before the activation. Its distance, the absolute error, and no rescaling: the authors' code
    perceptual=PerceptualOptions(backbone="vgg19", layers=(("conv5_4", 1.0),), distance="l1", rescale=1.0),
    adversary=AdversaryOptions(kind="relativistic"),
    steps=400_000,  # the authors' code
    batch_size=16,
    hr_crop=128,
    learning_rate=1e-4,
    betas=(0.9, 0.999),
    schedule="steps",
    milestones=(50_000, 100_000, 200_000, 300_000),
    milestone_factor=0.5,
    log_every=100,
    validate_every=5_000,
    checkpoint_every=2_000,
    snapshot_steps=one_two_five(400_000),
)

# As many multiplications in all as `classroom` of srgan.
ESRGAN_CLASSROOM = replace(
    ESRGAN_PAPER,
    name="classroom",
    network=RRDB_CLASSROOM.network,
    start="runs/rrdb-classroom",
    # VGG16 ships with the course: no download in class
    perceptual=PerceptualOptions(layers=(("conv5_3", 1.0),), distance="l1", rescale=1.0),
    steps=4_000,
    hr_crop=96,
    milestones=(2_000, 3_000),
    ema_decay=0.999,
    log_every=50,
    validate_every=500,
    checkpoint_every=500,
    snapshot_steps=one_two_five(4_000),
)

ESRGAN_LAPTOP = Recipe(
    name="laptop",
    network=RRDB_LAPTOP.network,
    start="rrdb-s",
    # Weighed by the pull on the pictures: each layer begins with 0.2, and the adversary comes to about half of both
    # after 150 steps. With the generator at 0.0001, a discriminator at 0.00005 was right in every answer from step 120
    # on: so the generator learns faster here, and the discriminator does not.
    losses=(Term("perceptual"), Term("adversarial", 0.015), Term("l1", 2.0)),
    perceptual=PerceptualOptions(layers=(("conv3_3", 0.035), ("conv4_3", 0.06)), distance="l1"),
    adversary=AdversaryOptions(kind="relativistic", channels=24, hidden=128, learning_rate_factor=0.15),
    steps=400,
    batch_size=8,
    hr_crop=64,
    learning_rate=3e-4,
    schedule="steps",
    warmup_steps=50,  # without, Adam's first steps shift the colours
    milestones=(300,),
    milestone_factor=0.1,
    ema_decay=0.98,
    log_every=5,
    validate_every=50,
    checkpoint_every=50,
    snapshot_steps=one_two_five(400),
)

ESRGAN_SMOKE = replace(
    ESRGAN_LAPTOP,
    name="smoke",
    network=RRDB_SMOKE.network,
    start="",
    perceptual=PerceptualOptions(layers=(("conv1_2", 1.0),), distance="l1"),
    adversary=AdversaryOptions(kind="relativistic", channels=4, hidden=8),
    steps=20,
    batch_size=4,
    hr_crop=32,
    warmup_steps=2,
    milestones=(10,),
    log_every=2,
    validate_every=10,
    validation_pictures=1,
    checkpoint_every=10,
    snapshot_steps=(0, 10, 20),
)

RECIPES: Mapping[str, Mapping[str, Recipe]] = {
    "srcnn": {one.name: one for one in (SRCNN_SMOKE, SRCNN_LAPTOP, SRCNN_CLASSROOM, SRCNN_PAPER)},
    "srresnet": {one.name: one for one in (SRRESNET_SMOKE, SRRESNET_LAPTOP, SRRESNET_CLASSROOM, SRRESNET_PAPER)},
    "rrdb": {one.name: one for one in (RRDB_SMOKE, RRDB_LAPTOP, RRDB_CLASSROOM, RRDB_PAPER)},
    "srgan": {one.name: one for one in (SRGAN_SMOKE, SRGAN_LAPTOP, SRGAN_CLASSROOM, SRGAN_PAPER)},
    "esrgan": {one.name: one for one in (ESRGAN_SMOKE, ESRGAN_LAPTOP, ESRGAN_CLASSROOM, ESRGAN_PAPER)},
}


def recipe(model: str, name: str) -> Recipe:
    """Return a recipe of the course.

    Raises:
        TrainingError: there is no such network to train, or no recipe of that name for it.
    """
    if model not in RECIPES:
        raise TrainingError(f"there is no model {model!r} to train; choose from {', '.join(RECIPES)}.")
    if name not in RECIPES[model]:
        raise TrainingError(f"{model} has no recipe {name!r}; choose from {', '.join(RECIPES[model])}.")
    return RECIPES[model][name]
