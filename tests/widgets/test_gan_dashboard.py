from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch

import sr_course.widgets.gan_dashboard as dashboard_module
from sr_course.errors import ModelError
from sr_course.training.history import Curve, read_history
from sr_course.widgets import Case, GanDashboard
from tests.sentences import sentence
from tests.widgets.gan_runs import ALARM, HEALTHY, NO_DETACH, STEPS, STRONG, cases, make_runs, signs, stored, write_log
from tests.widgets.notebook import kept_by_notebook
from tests.widgets.sprites import sent_cell

PANELS = [
    "Generator's loss",
    "Discriminator's loss",
    "Mean logit",
    "Discriminator's accuracy",
    "Pull: adversarial / content",
    "Detail / true detail",
    "Likeness of details",
    "Checkerboard / detail",
    "Colour shift, levels of 255",
]


@pytest.fixture(scope="module")
def runs(tmp_path_factory) -> dict[str, Path]:
    return make_runs(tmp_path_factory.mktemp("runs"))


@pytest.fixture(scope="module")
def shared(runs) -> list[Case]:
    return cases(runs)


@pytest.fixture
def own(runs, tmp_path) -> dict[str, Path]:
    """Copies that a test may change."""
    return {name: Path(shutil.copytree(run, tmp_path / name)) for name, run in runs.items()}


def place_of(dashboard: GanDashboard, name: str) -> int:
    """Which run, from 0, is the one of this true name."""
    return list(dashboard.letters.values()).index(name)


def sent(dashboard: GanDashboard, name: str) -> dict:
    """What the browser was told of a run."""
    (found,) = [one for one in dashboard._runs if one["name"] == name]
    return found


# --- what travels to the browser


def test_every_result_travels_without_loss_in_one_sprite(shared, runs):
    dashboard = GanDashboard(shared)
    for name, run in runs.items():
        told = sent(dashboard, name)
        truth = safetensors.torch.load_file(run / "snapshots" / "samples.safetensors")
        assert told["steps"] == list(STEPS)
        for sample, cells in enumerate(told["samples"]):
            for step, cell in zip(STEPS, cells["results"], strict=True):
                assert np.array_equal(sent_cell(dashboard, cell), stored(run, step, sample))
            assert np.array_equal(sent_cell(dashboard, cells["truth"]), truth[f"hr.{sample}"].permute(1, 2, 0).numpy())


def test_equal_pictures_travel_once(shared):
    dashboard = GanDashboard(shared)
    # For each of two samples: bicubic, the truth, the common beginning, and three more steps of three runs.
    assert len(dashboard._cells) == 2 * (1 + 1 + 1 + 3 * 3)
    assert len({tuple(cell) for cell in dashboard._cells}) == len(dashboard._cells)


def test_pictures_of_different_sizes_are_packed_beside_each_other(shared, tmp_path):
    (tmp_path / "small").mkdir()
    small = read_history(make_runs(tmp_path / "small", (48, 56))[HEALTHY])
    dashboard = GanDashboard({"large": shared[0], "small": Case(small, "healthy", "")})
    boxes = dashboard._cells
    assert {(width, height) for _, _, width, height in boxes} == {(80, 64), (56, 48)}
    covered = np.zeros((2000, 2000), dtype=int)
    for left, top, width, height in boxes:
        covered[top : top + height, left : left + width] += 1
    assert covered.max() == 1
    result = sent(dashboard, "small")["samples"][1]["results"][-1]
    assert np.array_equal(sent_cell(dashboard, result), stored(small.folder, 20, 1))


def test_numbers_beside_the_pictures(shared, runs):
    dashboard = GanDashboard(shared)
    for name, run in runs.items():
        history = read_history(run)
        for sample, told in enumerate(sent(dashboard, name)["samples"]):
            assert told["psnr"] == [f"{history.psnr(step)[sample]:.2f} dB" for step in STEPS]


def test_panels_hold_the_curves_of_the_log(shared):
    dashboard = GanDashboard(shared)
    told = sent(dashboard, STRONG)
    charts = {chart["title"]: chart for chart in told["charts"]}
    assert list(charts) == PANELS
    assert [line["name"] for line in charts["Generator's loss"]["lines"]] == ["perceptual", "adversarial"]
    assert [line["name"] for line in charts["Mean logit"]["lines"]] == ["real", "fake"]
    # The axis of steps is logarithmic from the first snapshot on, as far as the last.
    places = [np.log1p(step / 5) / np.log1p(20 / 5) for step in (5, 10, 15, 20)]
    for chart in charts.values():
        for line in chart["lines"]:
            assert [x for x, _ in line["points"]] == pytest.approx(places, abs=1e-4)
    assert told["marks"] == pytest.approx([0, places[0], places[1], 1], abs=1e-4)
    readings = dict(zip(PANELS, told["readings"], strict=True))
    assert readings["Mean logit"][:3] == ["nothing yet", "real 5.25, fake -5.25", "real 10.25, fake -10.25"]
    assert readings["Pull: adversarial / content"][1:] == ["1.5", "2.75", "5.25"]  # 0.5 * (1 + step) / 2
    assert readings["Discriminator's accuracy"] == ["nothing yet", "1.00", "1.00", "1.00"]
    values = dict(zip(PANELS, told["values"], strict=True))
    assert values["Mean logit"] == [["", ""], ["5.25", "-5.25"], ["10.25", "-10.25"], ["20.25", "-20.25"]]
    assert values["Discriminator's accuracy"] == [[]] * 4


def test_guides_stand_at_their_values(shared):
    told = sent(GanDashboard(shared), HEALTHY)
    charts = {chart["title"]: chart for chart in told["charts"]}
    accuracy = charts["Discriminator's accuracy"]
    assert accuracy["guide"] == (pytest.approx(0.5), "chance")  # between 0 and 1, which the axis always reaches
    assert accuracy["lines"][0]["points"][0][1] == pytest.approx(0.5)  # the healthy one is as good as chance
    place, name = charts["Mean logit"]["guide"]
    real, fake = (line["points"][0][1] for line in charts["Mean logit"]["lines"])
    assert (place, name) == (pytest.approx((real + fake) / 2, abs=1e-3), "undecided")
    assert charts["Colour shift, levels of 255"]["guide"] is None


def test_one_scale_for_all_runs_makes_them_comparable(shared):
    dashboard = GanDashboard(shared)
    at = PANELS.index("Mean logit")
    healthy, strong = (sent(dashboard, name)["common"][at] for name in (HEALTHY, STRONG))
    assert healthy["y"] == strong["y"]
    heights = [chart["lines"][0]["points"][-1][1] - chart["guide"][0] for chart in (healthy, strong)]
    assert heights[0] / heights[1] == pytest.approx(0.25 / 20.25, abs=1e-3)
    alone = sent(dashboard, HEALTHY)["charts"][at]
    assert alone["lines"][0]["points"][-1][1] > 0.9  # on its own scale it fills the frame


def test_what_a_log_lacks_is_left_out_and_said(own):
    write_log(own[STRONG], 1.0, [], leave_out=("accuracy", "pull_content", "logit_fake"))
    write_log(own[HEALTHY], 0.0, [], leave_out=tuple(signs(5, 0)))
    dashboard = GanDashboard(cases(own))
    told = sent(dashboard, STRONG)
    missing = {"Discriminator's accuracy", "Pull: adversarial / content"}
    assert [chart["title"] for chart in told["charts"]] == [title for title in PANELS if title not in missing]
    assert told["missing"] == "Not in this run's log, so not shown: accuracy, pull."
    assert [line["name"] for line in told["charts"][2]["lines"]] == ["real"]
    bare = sent(dashboard, HEALTHY)
    assert [chart["title"] for chart in bare["charts"]] == ["Generator's loss"]
    assert "discriminator's loss, mean logit, accuracy" in bare["missing"]
    assert sent(dashboard, NO_DETACH)["missing"] == ""
    dashboard.run = place_of(dashboard, HEALTHY)
    assert "accuracy" not in repr(dashboard)
    dashboard.still()


def test_pulls_that_are_nothing_or_not_finite_do_no_harm(shared):
    def with_pulls(adversarial: tuple[float, ...], content: tuple[float, ...]) -> list[str]:
        history = shared[0].history
        steps = (5, 10, 20)
        curves = {
            **history.diagnostics,
            "pull_adversarial": Curve(steps=steps, values=adversarial),
            "pull_content": Curve(steps=steps, values=content),
        }
        dashboard = GanDashboard({"one": Case(replace(history, diagnostics=curves), "healthy", "")})
        told = sent(dashboard, "one")
        titles = [chart["title"] for chart in told["charts"]]
        title = "Pull: adversarial / content"
        return told["readings"][titles.index(title)] if title in titles else []

    assert with_pulls((1.0, 2.0, 3.0), (2.0, 0.0, 2.0)) == ["nothing yet", "0.5", "0.5 at step 5", "1.5"]
    assert with_pulls((0.0, float("nan"), 3.0), (2.0, 2.0, 2.0)) == ["nothing yet", "0", "0 at step 5", "1.5"]
    assert with_pulls((1.0, 1.0, 1.0), (0.0, 0.0, 0.0)) == []


# --- names and order


def test_order_depends_on_the_seed_and_the_names_only(shared):
    orders = {seed: list(GanDashboard(shared, seed=seed).letters.values()) for seed in range(6)}
    assert orders[0] == list(GanDashboard(shared[::-1], seed=0).letters.values())
    assert len({tuple(order) for order in orders.values()}) > 1
    assert all(sorted(order) == sorted([HEALTHY, STRONG, NO_DETACH]) for order in orders.values())
    assert orders[0] == [HEALTHY, NO_DETACH, STRONG]  # a lesson's stored text tells of it, so it may never change


def test_a_mapping_gives_the_names(shared):
    dashboard = GanDashboard({"x": shared[0], "y": shared[1]})
    assert sorted(dashboard.letters.items()) == list(zip("AB", dashboard.letters.values(), strict=True))
    assert set(dashboard.letters.values()) == {"x", "y"}


def test_true_names_and_diagnoses_are_not_given_away(shared):
    dashboard = GanDashboard(shared)
    for run in range(3):
        dashboard.run = run
        said = f"{dashboard!r} {dashboard.alt()}"
        for secret in (HEALTHY, STRONG, NO_DETACH, "healthy", "too strong", "detach", "ALARM"):
            assert secret not in said


def test_diagnoses_to_choose_from_are_those_of_the_cases_and_more_in_alphabetical_order(shared):
    dashboard = GanDashboard(shared, more_diagnoses=("Mode collapse", "healthy"))
    assert dashboard._diagnoses == ["discriminator too strong", "healthy", "missing detach", "Mode collapse"]


def test_alarms_and_explanations_travel(shared):
    told = sent(GanDashboard(shared), STRONG)
    assert told["alarms"] == [{key: ALARM[key] for key in ("step", "illness", "says")}]
    assert (told["diagnosis"], told["because"]) == ("discriminator too strong", "The logits part at once.")
    assert sent(GanDashboard(shared), HEALTHY)["alarms"] == []


# --- state


def test_step_takes_the_nearest_snapshot_and_stays_when_the_run_changes(own):
    for step in (5, 20):
        (own[HEALTHY] / "snapshots" / f"step-{step:08d}.safetensors").unlink()
    dashboard = GanDashboard(cases(own))
    healthy, strong = (place_of(dashboard, name) for name in (HEALTHY, STRONG))
    dashboard.run = strong
    assert dashboard.step == 20
    assert "step 20, snapshot 4 of 4" in repr(dashboard)
    dashboard.run = healthy
    assert "step 10, snapshot 2 of 2" in repr(dashboard)
    dashboard.run = strong
    assert "step 20, snapshot 4 of 4" in repr(dashboard)
    for step, nearest in [(7, 5), (8, 10), (15, 10), (16, 20), (10**6, 20), (-3, 0)]:
        dashboard.step = step
        assert f"step {nearest}, snapshot" in repr(dashboard)


def test_answers_are_counted_and_shown(shared):
    dashboard = GanDashboard(shared)
    letters = {name: letter for letter, name in dashboard.letters.items()}
    dashboard.answers = {letters[HEALTHY]: "healthy", letters[STRONG]: "missing detach"}
    assert dashboard.right == 1
    assert repr(dashboard).endswith("; named rightly 1 of 3)")
    dashboard.run = place_of(dashboard, HEALTHY)
    assert dashboard.alt().endswith("Diagnosis: healthy. Right.")
    dashboard.run = place_of(dashboard, STRONG)
    assert dashboard.alt().endswith("Diagnosis: missing detach. Not yet.")
    before = np.asarray(dashboard.still()).astype(int)
    dashboard.revealed = [letters[STRONG]]
    assert dashboard.alt().endswith(f"It is {STRONG}: discriminator too strong.")
    assert np.abs(np.asarray(dashboard.still()).astype(int) - before)[:22].max() > 20
    assert repr(dashboard).endswith(f"; named rightly 1 of 3, revealed {letters[STRONG]})")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"run": 3}, "run is 3; the runs go from 0 to 2"),
        ({"sample": 2}, "sample is 2; the samples go from 0 to 1"),
        ({"answers": {"A": "hiccups"}}, "'hiccups' is no diagnosis here; choose among discriminator too"),
        ({"answers": {"D": "healthy"}}, "there is no run 'D'; there are A, B, C"),
        ({"revealed": ["a"]}, "there is no run 'a'"),
    ],
)
def test_what_does_not_exist_is_refused(shared, change, said):
    dashboard = GanDashboard(shared)
    before = repr(dashboard)
    (key, value), *_ = change.items()
    with pytest.raises(ValueError, match=said) as error:
        setattr(dashboard, key, value)
    sentence(error)
    assert repr(dashboard) == before


def test_cases_that_make_no_sense_are_refused(shared):
    with pytest.raises(ValueError, match="0 cases were given; there can be 1 to 8") as error:
        GanDashboard([])
    sentence(error)
    with pytest.raises(ValueError, match="9 cases were given") as error:
        GanDashboard({str(index): shared[0] for index in range(9)})
    sentence(error)
    with pytest.raises(ValueError, match="folders of the same name") as error:
        GanDashboard([shared[0], shared[0]])
    sentence(error)
    with pytest.raises(ValueError, match="the case 'gan-good' has no diagnosis") as error:
        GanDashboard([replace(shared[0], diagnosis=" ")])
    sentence(error)


def test_a_damaged_snapshot_is_named(own):
    file = own[STRONG] / "snapshots" / "step-00000010.safetensors"
    file.write_bytes(file.read_bytes()[:50])
    with pytest.raises(ModelError, match=r"step-00000010\.safetensors: this snapshot is damaged") as error:
        GanDashboard(cases(own))
    sentence(error)


def test_one_run_before_its_first_line(own):
    (own[HEALTHY] / "log.jsonl").write_text("")
    for step in STEPS[1:]:
        (own[HEALTHY] / "snapshots" / f"step-{step:08d}.safetensors").unlink()
    dashboard = GanDashboard([cases(own)[0]])
    assert repr(dashboard).startswith("GanDashboard(1 run, run A, step 0, snapshot 1 of 1, sample 1 of 2 ")
    assert dashboard._runs[0]["charts"] == []
    dashboard.still()


def test_many_snapshots_are_thinned_out_and_it_is_said(shared, monkeypatch):
    monkeypatch.setattr(dashboard_module, "MOST_SNAPSHOTS", 3)
    dashboard = GanDashboard(shared)
    assert dashboard._runs[0]["steps"] == [0, 10, 20]
    assert dashboard._note == "At most 3 snapshots of a run are shown, evenly chosen."


def test_pictures_that_not_all_runs_have_are_left_out_and_it_is_said(shared):
    one = replace(shared[0].history, samples=shared[0].history.samples[:1])
    dashboard = GanDashboard([replace(shared[0], history=one), *shared[1:]])
    assert [len(run["samples"]) for run in dashboard._runs] == [1, 1, 1]
    assert dashboard._note == "Only as many pictures are shown as all runs have: 1."


# --- what a notebook stores


def test_notebook_gets_the_live_view_a_still_and_a_line_of_text(shared):
    dashboard = GanDashboard(shared, step=10, sample=1, scene=("noise", "more noise"))
    dashboard.run = place_of(dashboard, NO_DETACH)
    kept = kept_by_notebook(dashboard)
    shown = read_history(shared[2].history.folder).psnr(10)[1]
    bicubic = dashboard._runs[0]["samples"][1]["start"]
    letter = "ABC"[dashboard.run]
    readings = (
        "generator's loss perceptual 0.04, adversarial 0.035, discriminator's loss 0.4, "
        "mean logit real 2.75, fake -2.75, accuracy 0.75, pull 0.875, detail 0.70, "
        "likeness of details 0.050, checkerboard 0.025, colour shift 0.75"
    )
    assert kept.text == (
        f"GanDashboard(3 runs, run {letter}, step 10, snapshot 3 of 4, sample 2 of 2 {shown:.2f} dB, "
        f"bicubic {bicubic}, {readings}; named rightly 0 of 3)"
    )
    assert kept.still.size == dashboard.still().size
    assert kept.alt == (
        f"Run {letter} of 3 after 10 steps of adversarial training. Three pictures of more noise: bicubic ({bicubic}), "
        f"the network ({shown:.2f} dB), the truth. Below: curves up to that step: {readings}."
    )


def test_still_shows_the_run_the_step_and_the_curves_up_to_it(shared):
    dashboard = GanDashboard(shared)
    dashboard.run = place_of(dashboard, STRONG)

    def drawn() -> np.ndarray:
        return np.asarray(dashboard.still()).astype(int)

    def colours(image: np.ndarray) -> int:
        """Pixels of a curve, which are blue, below the pictures."""
        red, _, blue = np.moveaxis(image[350:], -1, 0)
        return int((blue - red > 60).sum())

    last = drawn()
    dashboard.step = 5
    early = drawn()
    assert 0 < colours(early) < 0.5 * colours(last)
    thirds = [slice(0, 288), slice(300, 588), slice(600, 888)]
    changed = [np.abs(early[44:332, third] - last[44:332, third]).max() for third in thirds]
    assert changed[0] == changed[2] == 0  # bicubic and the truth
    assert changed[1] > 0
    dashboard.step = 0
    assert colours(drawn()) < colours(early)
    dashboard.step, dashboard.common = 20, True
    assert np.abs(drawn()[350:] - last[350:]).max() > 20
    dashboard.run, dashboard.common = place_of(dashboard, HEALTHY), False
    assert np.abs(drawn()[44:332, thirds[1]] - last[44:332, thirds[1]]).max() >= 1  # it is one level brighter
