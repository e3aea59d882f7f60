"""The adversarial runs that ship, sick and healthy: lesson 3 has learners diagnose them by the alarms in their logs."""

from __future__ import annotations

import pytest

from sr_course.training.history import read_history, shipped_run
from sr_course.training.log import read_log
from sr_course.training.signs import illnesses


@pytest.mark.parametrize("name", ["srgan-s", "esrgan-s"])
def test_the_healthy_runs_ring_no_alarm(name):
    history = read_history(shipped_run(f"{name}_x4"))
    assert history.diagnostics
    assert history.alarms == ()


@pytest.mark.parametrize(
    ("name", "first", "all_of_them"),
    [
        ("strong-discriminator", {"discriminator wins"}, {"discriminator wins"}),
        ("missing-detach", {"discriminator wins"}, {"discriminator wins", "checkerboard"}),
        (
            "no-pretraining",
            {"mode collapse", "checkerboard", "colour shift"},
            {"mode collapse", "checkerboard", "colour shift", "discriminator wins"},
        ),
    ],
)
def test_each_sick_run_rings_the_alarms_of_its_illness(name, first, all_of_them):
    alarms = read_history(shipped_run(f"srgan-s-{name}_x4")).alarms
    assert {one.illness for one in alarms if one.step == alarms[0].step} == first
    assert {one.illness for one in alarms} == all_of_them


@pytest.mark.parametrize(
    "name", ["srgan-s", "srgan-s-strong-discriminator", "srgan-s-missing-detach", "srgan-s-no-pretraining"]
)
def test_today_s_limits_ring_the_alarms_of_the_log(name):
    """The runs were made once; were a limit moved since, the dashboard's explanations would no longer fit them."""
    lines = [one for one in read_log(shipped_run(f"{name}_x4")) if "diagnostics" in one]
    rung, ill = [], set()
    for count, line in enumerate(lines, start=1):
        found = illnesses(line["step"], [one["diagnostics"] for one in lines[:count]])
        rung += [alarm for alarm in found if alarm.illness not in ill]
        ill = {alarm.illness for alarm in found}
    assert tuple(rung) == read_history(shipped_run(f"{name}_x4")).alarms
