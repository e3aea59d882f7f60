from __future__ import annotations

import json
import threading

import numpy as np
import pytest

from sr_course.lessons.toy_gan import ToyGan
from sr_course.widgets import GanStepper
from tests.widgets.notebook import kept_by_notebook

VERMILION = (213, 94, 0)  # Okabe and Ito's


def panel(stepper: GanStepper, title: str) -> dict:
    """A panel as the browser gets it."""
    return next(one for one in stepper._scene["panels"] if one["title"].startswith(title))


def marks(stepper: GanStepper, title: str, kind: str, role: str) -> list[np.ndarray]:
    """Points of the marks of one kind and role, each `(points, 2)`."""
    chosen = [one for one in panel(stepper, title)["marks"] if (one["kind"], one["role"]) == (kind, role)]
    return [np.array(one["points"]) for one in chosen]


def x_of(fraction: np.ndarray) -> np.ndarray:
    return -4 + 8 * fraction


# --- what is drawn


def test_curve_of_the_discriminator_is_its_judgement():
    stepper = GanStepper()
    stepper.step_discriminator(200)
    (line,) = marks(stepper, "Discriminator", "line", "judge")
    assert line[:, 1] == pytest.approx(stepper.gan.judge(x_of(line[:, 0])), abs=2e-4)
    best = np.concatenate(marks(stepper, "Discriminator", "dashes", "best"))
    assert best[:, 1] == pytest.approx(stepper.gan.optimal_discriminator(x_of(best[:, 0])), abs=2e-3)
    assert best[:, 1].max() > 0.9
    assert panel(stepper, "Discriminator")["reading"] == (
        f"on average {stepper.gan.judge(stepper.gan.real).mean():.2f} for data, "
        f"{stepper.gan.judge(stepper.gan.samples).mean():.2f} for samples"
    )


def test_best_discriminator_is_not_drawn_where_nobody_is():
    stepper = GanStepper(data="one bump", generator="line", centre=-2, spread=0.2)
    pieces = marks(stepper, "Discriminator", "dashes", "best")
    assert len(pieces) == 2  # about the samples, and about the data
    assert x_of(pieces[0][:, 0]).max() < -1
    assert x_of(pieces[1][:, 0]).min() > -1


def test_histograms_hold_all_numbers_and_lines_are_the_densities():
    stepper = GanStepper(centre=0.2, spread=0.9, generator="line")
    for role, density in (("data", stepper.gan.data_density), ("made", stepper.gan.samples_density)):
        (area,) = marks(stepper, "Distributions", "area", role)
        tops = area[1:-1:2, 1] * 1.6
        assert tops.sum() * 0.25 == pytest.approx(1, abs=1e-3)
        for line in marks(stepper, "Distributions", "line", role):
            assert line[:, 1] * 1.6 == pytest.approx(density(x_of(line[:, 0])), abs=5e-3)


def test_a_peak_above_the_frame_is_cut_off():
    stepper = GanStepper(generator="line", spread=0)
    (area,) = marks(stepper, "Distributions", "area", "made")
    assert area[:, 1].max() == 1
    stepper.still()


def test_arrows_begin_at_every_fifth_sample_and_are_as_long_as_the_pull():
    stepper = GanStepper()
    stepper.step_discriminator(50)
    arrows = np.array(marks(stepper, "Pull", "arrow", "made"))  # (20, 2, 2)
    assert x_of(arrows[:, 0, 0]) == pytest.approx(stepper.gan.samples[2::5], abs=1e-3)
    pulls = np.clip(stepper.gan.pull()[2::5], -1.5, 1.5)
    assert 8 * (arrows[:, 1, 0] - arrows[:, 0, 0]) == pytest.approx(pulls, abs=2e-3)
    assert np.ptp(pulls) > 0.1
    dots = np.concatenate(marks(stepper, "Pull", "dot", "data"))
    assert x_of(dots[:, 0]) == pytest.approx(stepper.gan.real[2::5], abs=1e-3)


def test_samples_out_of_view_are_told_and_have_no_arrow():
    stepper = GanStepper(generator="line", centre=3.9, spread=0.2)
    away = int((stepper.gan.samples > 4).sum())
    assert 0 < away < 50
    assert f"{away} of 100 out of view" in panel(stepper, "Pull")["reading"]
    assert len(marks(stepper, "Pull", "arrow", "made")) == (stepper.gan.samples[2::5] <= 4).sum()


def test_losses_stand_where_their_updates_are():
    stepper = GanStepper(discriminator_steps=4)
    stepper.step_both(8)
    line = marks(stepper, "Losses", "line", "judge")[0]
    assert line[:, 0] == pytest.approx(np.arange(9) / 8)  # all rounds have five updates
    records = stepper.gan.records
    values = np.array([[record.discriminator, record.generator] for record in records])
    both = np.stack([line[:, 1], marks(stepper, "Losses", "line", "made")[0][:, 1]], axis=1)
    scale = np.ptp(both) / np.ptp(values)  # one axis for both
    assert both - both[0, 0] == pytest.approx((values - values[0, 0]) * scale, abs=5e-4)
    height, label = panel(stepper, "Losses")["guide"]
    assert label == "2 ln 2"
    assert height == pytest.approx(both[0, 1] + scale * np.log(2), abs=5e-4)  # the generator begins at ln 2


def test_a_long_run_stays_small_on_its_way_to_the_browser():
    stepper = GanStepper()
    stepper.step_both(3000)
    assert len(json.dumps(stepper._scene)) < 40_000
    assert marks(stepper, "Losses", "line", "made")[0][-1, 0] == 1


# --- what moves it


def test_messages_of_the_buttons_do_what_python_does():
    stepper, expected = GanStepper(), ToyGan()
    answers = [stepper._scene["answer"]]
    messages = [{"do": "discriminator", "times": 10}, {"do": "generator"}, {"set": "discriminator_steps", "value": 3}]
    for message in [*messages, {"do": "both", "times": 2}, {"set": "loss", "value": "saturating"}]:
        stepper._hear(stepper, message, [])
        answers.append(stepper._scene["answer"])
    expected.step_discriminator(10)
    expected.step_generator()
    expected.discriminator_steps = 3
    expected.step_both(2)
    assert np.array_equal(stepper.gan.weights, expected.weights)
    assert np.array_equal(stepper.gan.parameters, expected.parameters)
    assert (stepper.gan.loss, stepper.loss) == ("saturating", "saturating")
    assert answers == sorted(set(answers))  # each message is answered, so that the browser does not wait in vain
    stepper._hear(stepper, {"do": "reset"}, [])
    assert stepper.gan.discriminator_updates == 0
    assert stepper.gan.loss == "saturating"


@pytest.mark.parametrize("message", [{"do": "explode"}, {"set": "gan", "value": 1}, {}, {"do": "both", "times": 0}])
def test_strange_messages_do_no_harm(message):
    stepper = GanStepper()
    stepper._hear(stepper, message, [])
    assert stepper.gan.generator_updates <= 1


@pytest.mark.parametrize("value", ["non-saturating", "saturating", "none such"])
def test_the_browser_hears_which_message_was_the_last(value):
    stepper = GanStepper(loss="non-saturating")
    stepper._hear(stepper, {"set": "loss", "value": value, "asked": "here"}, [])
    assert stepper._scene["heard"] == "here"
    assert stepper.loss == ("non-saturating" if value == "none such" else value)


def test_no_message_takes_more_than_a_hundred_steps():
    stepper = GanStepper()
    stepper._hear(stepper, {"do": "generator", "times": 10**9}, [])
    assert stepper.gan.generator_updates == 100


@pytest.mark.parametrize("option", ["data", "generator", "discriminator"])
def test_another_game_begins_anew_with_the_same_rules(option):
    other = {"data": "one bump", "generator": "line", "discriminator": "parabola"}[option]
    stepper = GanStepper(learning_rate=0.3, centre=-1, discriminator_steps=2)
    stepper.step_both(5)
    setattr(stepper, option, other)
    fresh = ToyGan(**{option: other}, learning_rate=0.3, centre=-1, discriminator_steps=2)
    assert repr(stepper.gan) == repr(fresh)
    assert stepper.gan.generator_updates == 0
    assert np.array_equal(stepper.gan.parameters, fresh.parameters)


def test_other_rules_hold_from_the_next_step_on():
    stepper, expected = GanStepper(), ToyGan()
    stepper.step_both(5)
    stepper.learning_rate, stepper.loss, stepper.discriminator_steps = 0.5, "saturating", 0
    stepper.step_both(5)
    expected.step_both(5)
    expected.learning_rate, expected.loss, expected.discriminator_steps = 0.5, "saturating", 0
    expected.step_both(5)
    assert np.array_equal(stepper.gan.parameters, expected.parameters)
    assert stepper.gan.discriminator_updates == 5


@pytest.mark.parametrize(
    ("option", "value", "said"),
    [
        ("data", "three", "no data 'three'; choose from one bump, two bumps"),
        ("learning_rate", -0.1, "learning_rate is -0.1"),
        ("discriminator_steps", 11, "it goes from 0 to 10"),
    ],
)
def test_what_does_not_exist_is_refused_and_leaves_the_state(option, value, said):
    stepper = GanStepper()
    before = getattr(stepper, option)
    with pytest.raises(ValueError, match=said):
        setattr(stepper, option, value)
    assert getattr(stepper, option) == before == getattr(stepper.gan, option)
    with pytest.raises(ValueError, match=said):
        GanStepper(**{option: value})


def test_two_threads_lose_no_step():
    """JupyterLab answers controls from two threads."""
    stepper = GanStepper(discriminator="line", generator="line")
    threads = [threading.Thread(target=lambda: [stepper.step_both() for _ in range(15)]) for _ in range(2)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    expected = ToyGan(discriminator="line", generator="line")
    expected.step_both(30)
    assert np.array_equal(stepper.gan.parameters, expected.parameters)
    assert stepper._scene["numbers"][0] == ("steps", "30 discriminator, 30 generator")


# --- what a notebook keeps


def test_notebook_gets_the_live_view_a_still_and_a_line_of_text():
    stepper = GanStepper(data="one bump", generator="line", discriminator="line")
    stepper.step_discriminator()
    kept = kept_by_notebook(stepper)
    # By hand: w is 0.1 times 1.75; the pull is w (1 - D(x)), D(x) the logistic function of w x.
    gan = stepper.gan
    assert gan.weights[1] == pytest.approx(0.175)
    pull = 0.175 * (1 - 1 / (1 + np.exp(-0.175 * gan.samples))).mean()
    losses = f"losses {gan.discriminator_loss():.2f} and {gan.generator_loss():.2f}"
    assert kept.text == (
        "GanStepper(one bump, generator line, discriminator line, non-saturating, learning rate 0.1, 1 discriminator "
        "step a round; after 1 discriminator, 0 generator: samples mean -2.00, spread 0.50, 100 of 100 below 0; "
        f"{losses}, pull {pull:.3f})"
    )
    assert "one bump" in kept.alt
    assert f"generator's loss {gan.generator_loss():.3f}" in kept.alt
    assert kept.still.size == stepper.still().size
    assert len(kept.html) < 120_000


def test_still_shows_the_state():
    stepper = GanStepper()
    first = np.asarray(stepper.still()).astype(int)
    assert first.shape[1] == 888
    stepper.step_both(200)
    second = np.asarray(stepper.still()).astype(int)
    for rows in (slice(0, 170), slice(170, 330), slice(340, 440)):
        assert np.abs(first[rows, :560] - second[rows, :560]).max() > 100
    assert np.abs(first[:, 580:] - second[:, 580:]).max() > 100
    # The samples have come from the left to both sides.
    reach = [
        np.flatnonzero((np.abs(one[190:310, 40:556] - VERMILION).max(axis=-1) < 30).any(axis=0))
        for one in (first, second)
    ]
    assert reach[0].max() < 300 < 400 < reach[1].max()


def test_text_in_the_still_is_not_cut_off():
    stepper = GanStepper(learning_rate=1.0, discriminator_steps=10, spread=-3.33, centre=-2.22)
    stepper.step_both(7)
    sheet = np.asarray(stepper.still())
    assert (sheet[:, -2:] == 255).all()  # nothing runs over the edge on the right
    assert (sheet[:440, 562:582] == 255).all()  # nor from the panels on the left to the losses
