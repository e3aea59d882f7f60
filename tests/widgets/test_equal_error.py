from __future__ import annotations

import io
import json

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.stats import kendalltau

from sr_course import images
from sr_course.data.shipped import photo
from sr_course.lessons.distortions import DISTORTIONS, UnreachableError, to_mse
from sr_course.metrics import RGB, perceptual_distance, ssim
from sr_course.widgets import EqualError
from sr_course.widgets.equal_error import METRICS, kendall_tau
from tests.widgets.notebook import kept_by_notebook

NAMES = ("noise", "blur", "contrast", "brightness", "shift")


@pytest.fixture(scope="module")
def picture() -> torch.Tensor:
    return images.centre_crop(images.read(photo("chameleon").path), 48, 64)


@pytest.fixture
def equal(picture):
    widget = EqualError(picture, distortions=NAMES, mses=(0.001, 0.002), mse=0.002, scene="a chameleon")
    yield widget
    widget.close()


def sent(widget: EqualError) -> list[np.ndarray]:
    pictures = []
    for data in widget._pictures:
        with Image.open(io.BytesIO(data)) as image:
            pictures.append(np.asarray(image).astype(float) / 255)
    return pictures


# --- agreement


@pytest.mark.parametrize("seed", range(6))
def test_tau_is_scipys(seed):
    rng = np.random.default_rng(seed)
    first, second = rng.permutation(7).astype(float), rng.integers(0, 5, 7).astype(float)  # with ties
    assert kendall_tau(first, second) == pytest.approx(kendalltau(first, second).statistic, abs=1e-12)
    assert kendall_tau(first, first) == pytest.approx(1)
    assert kendall_tau(first, -first) == pytest.approx(-1)


def test_tau_of_equal_things_is_none():
    assert kendall_tau([1, 2, 3], [5, 5, 5]) is None


# --- what is shown


def test_all_pictures_have_one_squared_error_and_are_those_of_the_distortions(equal, picture):
    truth, *others = sent(equal)
    np.testing.assert_allclose(truth, picture[0].permute(1, 2, 0).numpy(), atol=1e-6)
    assert len(others) == len(NAMES)
    for other in others:
        # the screen's 8 bits add an error of a quarter of a level squared at most
        assert ((other - truth) ** 2).mean() == pytest.approx(0.002, rel=0.01)
    expected = {name: to_mse(picture, name, 0.002).picture[0].permute(1, 2, 0).numpy() for name in NAMES}
    for name in NAMES:
        assert min(np.abs(other - expected[name]).max() for other in others) < 1 / 255, name


def test_nothing_is_told_before_it_is_asked_for(equal):
    told = json.dumps(equal._state) + equal.summary() + equal.alt() + repr(equal._levels)
    assert not [name for name in (*NAMES, *METRICS[1:]) if name in told]
    for what in ("names", "sortings"):
        with pytest.raises(ValueError, match="not told before reveal"):
            getattr(equal, what)


def test_letters_tell_nothing_and_differ_with_error_and_seed(picture):
    def names(seed: int, mse: float) -> list[str]:
        widget = EqualError(picture, distortions=NAMES, mses=(0.001, 0.002), mse=mse, seed=seed)
        try:
            return [widget._now.made[letter].name for letter in widget.letters]
        finally:
            widget.close()

    orders = [names(seed, mse) for seed in range(3) for mse in (0.001, 0.002)]
    assert len({tuple(order) for order in orders}) > 3
    assert all(sorted(order) == sorted(NAMES) for order in orders)
    assert names(0, 0.002) == orders[1]


# --- sorting


def test_order_is_kept_and_revealed_with_the_sortings_of_the_metrics(equal, picture):
    letters = list(equal.letters)
    equal.order = [letters[2], letters[0], letters[4], letters[1], letters[3]]
    equal.reveal()
    assert equal.order == [letters[2], letters[0], letters[4], letters[1], letters[3]]
    assert sorted(equal.names) == sorted(NAMES)
    made = {name: to_mse(picture, name, 0.002).picture for name in NAMES}
    far = {
        "SSIM": {name: 1 - ssim(one, picture, RGB.at_scale(0)).item() for name, one in made.items()},
        "VGG distance": {name: perceptual_distance(one, picture).item() for name, one in made.items()},
        "random network": {
            name: perceptual_distance(one, picture, backbone="random").item() for name, one in made.items()
        },
    }
    sortings = {one.metric: one for one in equal.sortings}
    assert tuple(sortings) == METRICS
    assert sortings["MSE"].tau is None
    assert sortings["MSE"].figures == pytest.approx([0.002] * 5, rel=1e-6)
    for metric, distances in far.items():
        one = sortings[metric]
        assert list(one.names) == sorted(NAMES, key=distances.get)
        places = [equal.names.index(name) for name in NAMES]
        assert one.tau == pytest.approx(kendalltau(places, [distances[name] for name in NAMES]).statistic)
        figures = [1 - distances[name] if metric == "SSIM" else distances[name] for name in one.names]
        assert list(one.figures) == pytest.approx(figures, rel=1e-4)
    assert equal._state["progress"] == ""
    assert equal._state["sortings"][0]["tau"] == "none: all are equal"
    json.dumps(equal._state)


def test_order_stays_once_it_was_revealed(equal):
    order = equal.order
    equal._hear(None, {"do": "reveal", "level": 1}, None)
    equal._hear(None, {"do": "order", "level": 1, "order": order[::-1]}, None)
    assert equal.order == order
    with pytest.raises(ValueError, match="your order stays"):
        equal.order = order[::-1]


def test_each_error_has_its_own_answer(equal):
    first = sent(equal)
    order = equal.order[::-1]
    equal.order = order
    equal.mse = 0.001
    assert equal.mse == 0.001
    assert not np.array_equal(sent(equal)[1], first[1])
    assert equal.order == list(equal.letters)
    equal._hear(None, {"do": "reveal", "level": 1}, None)  # meant for the error that was left
    assert not equal.revealed
    equal.mse = 0.002
    assert equal.order == order
    assert np.array_equal(sent(equal)[1], first[1])


def test_messages_of_the_browser_are_checked(equal):
    order = equal.order
    equal._hear(None, {"do": "order", "level": 1, "order": ["A", "A", "B"]}, None)
    equal._hear(None, {"do": "order", "level": 0, "order": order[::-1]}, None)
    equal._hear(None, {"do": "nonsense"}, None)
    assert equal.order == order
    equal._hear(None, {"do": "order", "level": 1, "order": order[::-1]}, None)
    assert equal.order == order[::-1]
    equal._hear(None, {"do": "level", "level": 99}, None)
    assert equal.mse == 0.002


def test_an_answer_says_which_message_it_is_to(equal):
    """So that the browser can tell an answer to an older move, which would take back the newest one."""
    for place, order in enumerate((equal.order[::-1], equal.order)):
        equal._hear(None, {"do": "order", "level": 1, "order": order, "asked": f"move {place}"}, None)
        assert (equal._state["heard"], equal._state["order"]) == (f"move {place}", order)


def test_what_cannot_be_reached_is_left_out_and_said(picture):
    widget = EqualError(picture, distortions=("noise", "brightness", "contrast", "JPEG"), mses=(0.024,), mse=0.024)
    try:
        assert len(widget.letters) == 3
        assert widget._state["left_out"][0].startswith("JPEG makes a squared error of")
    finally:
        widget.close()
    with pytest.raises(UnreachableError, match="fewer than three distortions reach the error"):
        EqualError(picture, distortions=("noise", "blur", "JPEG"), mses=(0.1,), mse=0.1)


def test_missing_weights_are_told_and_the_others_measured(equal, monkeypatch, tmp_path):
    import sr_course.features as features

    monkeypatch.setattr(features, "FEATURES", tmp_path)
    widget = EqualError(equal.picture, distortions=NAMES, mses=(0.002,))
    try:
        widget.reveal()
        assert [one.metric for one in widget.sortings] == ["MSE", "SSIM"]
        assert "cannot be read" in widget._state["progress"]
    finally:
        widget.close()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"mse": 0.5}, "mse is 0.5; choose from 0.0005"),
        ({"distortions": ("noise", "blur")}, "too few to sort"),
        ({"distortions": ("noise", "noise", "blur")}, "too few to sort"),
        ({"distortions": ("noise", "sharpen", "blur")}, "no distortion 'sharpen'"),
        ({"picture": torch.rand(1, 3, 8, 64)}, r"shape \(1, 3, 8, 64\)"),
        ({"picture": torch.rand(3, 64, 64)}, "give"),
    ],
)
def test_wrong_use_is_told_in_a_sentence(picture, options, said):
    with pytest.raises(ValueError, match=said) as error:
        EqualError(options.pop("picture", picture), **options)
    assert str(error.value).endswith(".")


def test_messages_stay_small(picture):
    large = images.centre_crop(images.read(photo("hedgehog").path), 256, 256)
    widget = EqualError(large, mses=(0.002,), distortions=tuple(DISTORTIONS))
    try:
        assert sum(len(data) for data in widget._pictures) < 2 * 2**20
    finally:
        widget.close()


# --- what a notebook keeps


def test_notebook_gets_the_live_view_a_still_and_a_line_of_text(equal):
    kept = kept_by_notebook(equal)
    assert kept.text == "EqualError(5 pictures, MSE 0.002, order A B C D E)"
    assert kept.alt.startswith("a chameleon: a picture and 5 distortions of it")
    before = np.asarray(equal.still())
    equal.reveal()
    assert equal.summary().startswith(f"EqualError(MSE 0.002, sorted {', '.join(equal.names)}; agreement: MSE none")
    after = np.asarray(equal.still())
    assert after.shape[0] > before.shape[0]
    assert "VGG distance: " in equal.alt()


def test_closing_ends_the_measuring(picture):
    widget = EqualError(picture, distortions=NAMES, mses=(0.002,))
    thread = widget._measuring
    widget.close()
    if thread:
        thread.join(20)
        assert not thread.is_alive()
