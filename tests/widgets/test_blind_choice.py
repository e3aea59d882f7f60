from __future__ import annotations

import contextlib
import io
import json
import multiprocessing
import os
import re
import sqlite3
import stat
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import sr_course.widgets.blind_choice as blind_choice
from sr_course.errors import DataError, ImageError
from sr_course.widgets import BlindChoice, Pair, read_choices, wilson_interval
from sr_course.widgets.blind_choice import Ballot, Choice, default_file, save_choices, tally
from tests.sentences import sentence
from tests.widgets.notebook import kept_by_notebook

COLOURS = {"method-one": (200, 30, 30), "method-two": (30, 160, 60), "truth": (20, 60, 220)}


def plain(method: str, side: int = 24) -> Image.Image:
    return Image.new("RGB", (side, side), COLOURS[method])


def pairs(count: int = 6, *, truth: bool = False) -> list[Pair]:
    pictures = {method: plain(method) for method in ("method-one", "method-two")}
    return [Pair(f"scene {index}", pictures, plain("truth") if truth else None) for index in range(count)]


@pytest.fixture
def file(tmp_path) -> Path:
    return tmp_path / "folder" / "choices.sqlite3"


def side_of(blind: BlindChoice, method: str) -> str:
    """Where a method stands in the pair that is seen, told by the colour of the picture that is sent."""
    for side, sent in zip(("left", "right"), blind._pictures[3 * blind.place :], strict=False):
        with Image.open(io.BytesIO(sent)) as image:
            if image.getpixel((0, 0)) == COLOURS[method]:
                return side
    raise AssertionError(method)


# --- Wilson's interval and the rates


@pytest.mark.parametrize(
    ("wins", "count", "low", "high"),
    [  # Newcombe 1998, "Two-sided confidence intervals for the single proportion", table I, method 3
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0000, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_wilson_interval_is_the_published_one(wins, count, low, high):
    assert wilson_interval(wins, count) == pytest.approx((low, high), abs=5e-5)
    assert wilson_interval(count - wins, count) == pytest.approx((1 - high, 1 - low), abs=5e-5)


@pytest.mark.parametrize(("wins", "count"), [(3, 7), (12, 12), (50, 100)])
@pytest.mark.parametrize("confidence", [0.9, 0.95])
def test_ends_of_the_interval_are_where_the_test_just_accepts(wins, count, confidence):
    """Wilson's ends p solve (rate - p)^2 = z^2 p (1 - p) / n; z from tables of the normal distribution."""
    z = {0.9: 1.6448536, 0.95: 1.9599640}[confidence]
    for end in wilson_interval(wins, count, confidence):
        assert (wins / count - end) ** 2 == pytest.approx(z**2 * end * (1 - end) / count, abs=1e-7)


@pytest.mark.parametrize(("wins", "count"), [(0, 0), (3, 2), (-1, 2)])
def test_no_interval_without_answers(wins, count):
    with pytest.raises(ValueError, match="are no rate") as error:
        wilson_interval(wins, count)
    sentence(error)


def made(*answers: tuple[str, str, str]) -> list[Choice]:
    return [
        Choice(session=1, day="2025-01-01", place=place, scene="s", left=left, right=right, chosen=chosen)
        for place, (left, right, chosen) in enumerate(answers)
    ]


def test_tally_counts_the_pairs_in_which_a_method_stood():
    rates = tally(
        made(("a", "b", "left"), ("b", "a", "right"), ("b", "c", "left"), ("a", "c", "skip"), ("c", "a", "left"))
    )
    assert [(rate.method, rate.wins, rate.count) for rate in rates] == [("a", 2, 3), ("b", 1, 3), ("c", 1, 2)] or [
        (rate.method, rate.wins, rate.count) for rate in rates
    ] == [("a", 2, 3), ("c", 1, 2), ("b", 1, 3)]
    assert tally(made(("a", "b", "skip"))) == []


@pytest.mark.parametrize(("wins", "undecided"), [(9, True), (10, False), (3, True), (2, False)])
def test_of_twelve_answers_ten_are_needed(wins, undecided):
    # Wilson for 9 of 12: 0.468 to 0.911; for 10 of 12: 0.552 to 0.953.
    answers = [("a", "b", "left")] * wins + [("a", "b", "right")] * (12 - wins)
    assert all(rate.undecided == undecided for rate in tally(made(*answers)))


# --- order and sides


def test_equal_seeds_give_equal_orders_and_others_differ():
    asked = [(f"scene {index}", ("x", "y")) for index in range(12)]
    shown = [tuple(Ballot(asked, seed).shown) for seed in range(20)]
    assert tuple(Ballot(asked, 3).shown) == shown[3]
    assert len(set(shown)) == 20
    assert len({tuple(Ballot(asked, None).shown) for _ in range(5)}) > 1
    for one in shown:
        assert sorted(scene for scene, _, _ in one) == sorted(scene for scene, _ in asked)


def test_each_method_stands_as_often_on_the_left_and_in_no_fixed_order():
    asked = [(f"scene {index}", ("x", "y")) for index in range(10)]
    lefts = [[left for _, left, _ in Ballot(asked, seed).shown] for seed in range(200)]
    assert all(one.count("x") == 5 for one in lefts)
    first = sum(one[0] == "x" for one in lefts)
    assert 70 < first < 130  # four standard deviations about 100
    # The side says nothing about the scene either.
    with_scene = sum(
        {scene: left for scene, left, _ in Ballot(asked, seed).shown}["scene 0"] == "x" for seed in range(200)
    )
    assert 70 < with_scene < 130


def test_order_of_the_names_in_a_pair_plays_no_part():
    one = [("s", ("x", "y")), ("t", ("x", "y"))]
    other = [("s", ("y", "x")), ("t", ("y", "x"))]
    assert Ballot(one, 5).shown == Ballot(other, 5).shown


# --- a session


def test_a_session_from_the_first_pair_to_the_result(file):
    blind = BlindChoice(pairs(6), file=file, seed=1)
    for index in range(6):
        assert (blind.place, blind.done, blind.results) == (index, False, [])
        blind.choose(side_of(blind, "method-two" if index < 5 else "method-one"))
    assert blind.done
    low, high = wilson_interval(5, 6)
    assert [(rate.method, rate.wins, rate.count) for rate in blind.results] == [
        ("method-two", 5, 6),
        ("method-one", 1, 6),
    ]
    assert (blind.results[0].low, blind.results[0].high) == (low, high)
    assert low < 0.5  # five of six: not yet more than chance
    assert "still contains one half" in blind._state["verdict"]
    kept = read_choices(file)
    assert [one.winner for one in kept] == ["method-two"] * 5 + ["method-one"]
    assert {one.session for one in kept} == {1}
    with pytest.raises(ValueError, match="all pairs are answered") as error:
        blind.choose("left")
    sentence(error)


def test_eight_of_eight_are_more_than_chance(file):
    blind = BlindChoice(pairs(8), file=file)
    for _ in range(8):
        blind.choose(side_of(blind, "method-one"))
    assert blind._state["verdict"] == "You preferred method-one: the interval lies above one half."


def test_undo_takes_back_one_answer_also_in_the_file(file):
    blind = BlindChoice(pairs(3), file=file)
    blind.undo()  # nothing to take back
    blind.choose("left")
    blind.choose("right")
    blind.undo()
    assert blind.place == 1
    assert [one.chosen for one in read_choices(file)] == ["left"]
    blind.skip()
    blind.choose("right")
    assert blind.done
    blind.undo()
    assert not blind.done
    assert blind.results == []
    blind.choose("left")
    assert [one.chosen for one in read_choices(file)] == ["left", "skip", "left"]


def test_skipped_pairs_do_not_count(file):
    blind = BlindChoice(pairs(2), file=file)
    blind.skip()
    blind.skip()
    assert blind.done
    assert blind.results == []
    assert repr(blind) == "BlindChoice(No pair was answered, so there is nothing to count.)"
    assert [one.winner for one in read_choices(file)] == [None, None]
    blind.still()


def test_the_learner_may_stop_and_go_on(file):
    blind = BlindChoice(pairs(5), file=file)
    blind.choose("left")
    blind.finish()
    assert blind.done
    assert sum(rate.wins for rate in blind.results) == 1
    blind.undo()
    assert (blind.done, blind.place) == (False, 1)


def test_names_stay_secret_until_the_end(file):
    blind = BlindChoice(pairs(3, truth=True), file=file)

    def told() -> str:
        state = {key: value for key, value in blind.get_state().items() if not key.startswith(("_esm", "_css"))}
        texts = [json.dumps(state, default=str), repr(blind), blind.alt(), str(blind._repr_mimebundle_())]
        return " ".join(texts)

    for _ in range(2):
        assert "method" not in told()
        blind.choose("left")
    assert "method" not in told()
    blind.choose("left")
    assert "method-one" in told()
    assert "method-one" in blind._state["rates"][0]["says"] + blind._state["rates"][1]["says"]
    blind.undo()
    assert "method" not in told()


# --- messages of the browser


def test_two_quick_clicks_are_one_answer(file):
    blind = BlindChoice(pairs(4), file=file)
    for _ in range(2):
        blind._hear(blind, {"do": "left", "place": 0}, [])
    assert blind.place == 1
    answer = blind._state["answer"]
    blind._hear(blind, {"do": "right", "place": 0}, [])
    assert blind.place == 1
    assert blind._state["answer"] > answer  # it is answered all the same, or the browser would wait
    blind._hear(blind, {"do": "skip", "place": 1}, [])
    blind._hear(blind, {"do": "undo"}, [])
    blind._hear(blind, {"do": "right", "place": 1}, [])
    blind._hear(blind, {"do": "finish"}, [])
    blind._hear(blind, {"do": "left", "place": 2}, [])  # too late
    blind._hear(blind, {"do": "explode"}, [])
    assert [one.chosen for one in read_choices(file)] == ["left", "right"]


# --- the file


def test_several_sessions_share_a_file_and_are_counted_together(file):
    for winner in ("method-one", "method-one", "method-two"):
        blind = BlindChoice(pairs(4), file=file)
        for _ in range(4):
            blind.choose(side_of(blind, winner))
    assert [one.session for one in read_choices(file)] == [1] * 4 + [2] * 4 + [3] * 4
    assert [(rate.method, rate.wins, rate.count) for rate in blind.results] == [
        ("method-two", 4, 4),
        ("method-one", 0, 4),
    ]
    assert blind._state["before"].startswith(
        "All 3 sessions in the file together: method-one chosen 8 of 12 times, 67 %"
    )
    others = BlindChoice([Pair("s", {"a": plain("truth"), "b": plain("truth")})], file=file)
    others.choose("left")
    assert others._state["before"] == ""  # of these methods there is nothing else


def test_showing_the_widget_makes_no_file(file):
    BlindChoice(pairs(2), file=file).still()
    assert not file.parent.exists()


def test_nothing_personal_is_in_the_file(file, monkeypatch):
    monkeypatch.setenv("USER", "someone-with-a-name")
    blind = BlindChoice(pairs(2), file=file)
    blind.choose("left")
    with contextlib.closing(sqlite3.connect(file)) as connection:
        columns = {
            table: [column[1] for column in connection.execute(f"PRAGMA table_info({table})")]
            for table in ("sessions", "choices")
        }
        day = connection.execute("SELECT day FROM sessions").fetchone()[0]
    assert columns == {"sessions": ["id", "day"], "choices": ["session", "place", "scene", "left", "right", "chosen"]}
    assert re.fullmatch(r"\d{4}-\d\d-\d\d", day)
    assert b"someone-with-a-name" not in file.read_bytes()


def test_text_of_all_kinds_comes_back_as_it_was(file):
    name = "x'); DROP TABLE choices; -- \" ü\n😀"
    blind = BlindChoice([Pair(name, {name: plain("truth"), "b": plain("truth")})], file=file)
    blind.choose("left")
    (kept,) = read_choices(file)
    assert kept.scene == name
    assert {kept.left, kept.right} == {name, "b"}


def answer_and_die(file: str) -> None:
    blind = BlindChoice(pairs(4), file=file)
    blind.choose("left")
    blind.choose("right")
    os._exit(9)


def test_answers_survive_a_crash(file):
    process = multiprocessing.get_context("spawn").Process(target=answer_and_die, args=(str(file),))
    process.start()
    process.join(120)
    assert process.exitcode == 9
    assert [one.chosen for one in read_choices(file)] == ["left", "right"]


def test_a_write_that_fails_half_way_leaves_the_old_answers(file, monkeypatch):
    blind = BlindChoice(pairs(3), file=file)
    blind.choose("left")
    choices = blind._ballot.choices(1, "2025-01-01")
    broken = Choice(session=1, day="2025-01-01", place=1, scene="s", left="a", right="b", chosen="nonsense")  # type: ignore[arg-type]
    with pytest.raises(DataError):
        save_choices(file, 1, "2025-01-01", [*choices, broken])
    assert [one.chosen for one in read_choices(file)] == ["left"]


def test_a_held_file_is_told_and_caught_up_with(file, monkeypatch):
    monkeypatch.setattr(blind_choice, "_PATIENCE", 0.05)
    blind = BlindChoice(pairs(4), file=file)
    blind.choose("left")
    with contextlib.closing(sqlite3.connect(file, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        blind.choose("right")
        assert f"{file}: another program holds this file." in blind.note
        assert "only as long as this notebook runs" in blind._state["note"]
        assert blind.place == 2
        with pytest.raises(DataError, match="another program holds") as error:
            read_choices(file)
        sentence(error)
        other.execute("ROLLBACK")
    blind.choose("left")
    assert blind.note == ""
    assert [one.chosen for one in read_choices(file)] == ["left", "right", "left"]


@pytest.mark.parametrize("content", [b"not a database at all, but long enough to have a header" * 40, b"x"])
def test_a_damaged_file_is_told_left_alone_and_done_without(file, content):
    file.parent.mkdir()
    file.write_bytes(content)
    blind = BlindChoice(pairs(2), file=file)
    assert blind.note == ""
    blind.choose("left")
    assert f"{file}: this file is damaged, or is no database." in blind.note
    blind.choose("left")
    assert blind.done
    assert sum(rate.wins for rate in blind.results) == 2
    assert file.read_bytes() == content
    with pytest.raises(DataError, match="is damaged") as error:
        read_choices(file)
    sentence(error)


def test_a_file_cut_short_is_damaged(file):
    blind = BlindChoice(pairs(2), file=file)
    blind.choose("left")
    whole = file.read_bytes()
    file.write_bytes(whole[: len(whole) // 2])
    blind.choose("left")
    assert "damaged" in blind.note
    assert blind.done


def test_the_database_of_another_program_is_not_touched(file):
    file.parent.mkdir()
    with contextlib.closing(sqlite3.connect(file)) as other:
        other.execute("CREATE TABLE choices (important TEXT)")
        other.commit()
    before = file.read_bytes()
    blind = BlindChoice(pairs(2), file=file)
    blind.choose("left")
    assert "not one with the answers of this course" in blind.note
    assert file.read_bytes() == before


def test_a_folder_that_cannot_be_made_is_told(tmp_path):
    (tmp_path / "file").write_text("")
    blind = BlindChoice(pairs(2), file=tmp_path / "file" / "choices.sqlite3")
    blind.choose("left")
    assert "this file cannot be" in blind.note
    assert blind.place == 1


def test_a_folder_in_place_of_the_file_is_told(tmp_path):
    blind = BlindChoice(pairs(2), file=tmp_path)
    blind.choose("left")
    assert f"{tmp_path}: this file cannot be written." in blind.note


@pytest.mark.skipif(sys.platform == "win32" or os.geteuid() == 0, reason="the superuser may write everywhere")
def test_a_file_without_permission_is_told(file):
    BlindChoice(pairs(2), file=file).choose("left")
    file.chmod(stat.S_IRUSR)
    blind = BlindChoice(pairs(2), file=file)
    blind.choose("left")
    assert "cannot be written" in blind.note


def test_reading_what_is_not_there_is_refused_with_a_sentence(file):
    with pytest.raises(DataError, match="there is no such file") as error:
        read_choices(file)
    sentence(error)
    assert not file.parent.exists()


def test_default_file_follows_the_folder_of_the_course(monkeypatch, tmp_path):
    monkeypatch.setenv("SR_COURSE_DATA", str(tmp_path))
    assert default_file() == tmp_path / "choices.sqlite3"
    BlindChoice(pairs(1)).choose("left")
    assert len(read_choices()) == 1
    monkeypatch.delenv("SR_COURSE_DATA")
    assert default_file().name == "choices.sqlite3"
    assert "sr-course" in default_file().parts


# --- pictures


def test_pictures_travel_without_loss_in_the_order_in_which_they_are_shown(file):
    pixels = torch.randint(0, 256, (3, 1, 3, 20, 30), generator=torch.Generator().manual_seed(0))
    one, other, truth = pixels / 255
    blind = BlindChoice([Pair("noise", {"a": one, "b": other}, truth)], file=file)
    sent = []
    for data in blind._pictures:
        with Image.open(io.BytesIO(data)) as image:
            sent.append(torch.from_numpy(np.asarray(image).copy()).permute(2, 0, 1)[None])
    expected = {"a": pixels[0], "b": pixels[1]}
    _, left, right = blind._ballot.shown[0]
    assert torch.equal(sent[0], expected[left])
    assert torch.equal(sent[1], expected[right])
    assert torch.equal(sent[2], pixels[2])
    assert blind._sizes == [[30, 20]]


@pytest.mark.parametrize(
    ("asked", "error", "said"),
    [
        ([], ValueError, "got no pairs"),
        ([Pair("s", {"a": plain("truth")})], ValueError, "'s' has 1 pictures; give two"),
        ([Pair("s", {"a": plain("truth"), "b": plain("truth", 25)})], ImageError, "'s' are 24x24 and 25x25"),
        ([Pair("s", {"a": plain("truth"), "b": plain("truth")}, plain("truth", 99))], ImageError, "24x24 and 99x99"),
        ([Pair("s", {"a": torch.full((1, 3, 8, 8), 1.2), "b": plain("truth", 8)})], ImageError, r"'a': its values run"),
    ],
)
def test_unusable_pairs_are_refused_with_a_sentence(file, asked, error, said):
    with pytest.raises(error, match=said) as raised:
        BlindChoice(asked, file=file)
    sentence(raised)


def test_answers_that_do_not_exist_are_refused(file):
    blind = BlindChoice(pairs(1), file=file)
    with pytest.raises(ValueError, match="'both' is no answer") as error:
        blind.choose("both")  # type: ignore[arg-type]
    sentence(error)
    assert blind.place == 0


# --- what a notebook keeps


def test_notebook_gets_the_live_view_a_still_and_a_line_of_text(file):
    blind = BlindChoice(pairs(3), file=file)
    kept = kept_by_notebook(blind)
    assert kept.text == "BlindChoice(3 pairs, 0 answered)"
    scene = blind._ballot.shown[0][0]
    assert kept.alt == f"Pair 1 of 3: two pictures of {scene}. Which looks more like a photograph?"
    assert kept.still.size == blind.still().size
    for _ in range(3):
        blind.choose(side_of(blind, "method-two"))
    low, high = wilson_interval(3, 3)
    said = f"method-two chosen 3 of 3 times, 100 % (interval {100 * low:.0f} to {100 * high:.0f} %)."
    assert said in repr(blind)
    assert said in blind.alt()


def test_still_shows_the_pair_with_the_truth_only_when_wanted_and_then_the_rates(file):
    blind = BlindChoice(pairs(2, truth=True), file=file)
    first = np.asarray(blind.still())

    def shows(sheet: np.ndarray, colour: tuple[int, int, int]) -> np.ndarray:
        return np.flatnonzero((sheet == colour).all(axis=-1).any(axis=0))

    places = {method: shows(first, COLOURS[method]) for method in COLOURS}
    assert (places["method-one"].max() < places["method-two"].min()) == (side_of(blind, "method-one") == "left")
    assert not places["truth"].size
    blind.show_truth = True
    assert shows(np.asarray(blind.still()), COLOURS["truth"]).size == 288
    blind.choose("left")
    blind.choose("right")
    last = np.asarray(blind.still())
    assert not shows(last, COLOURS["method-one"]).size
    bars = (last == (0x9F, 0xCB, 0xE5)).all(axis=-1)
    lengths = sorted({int(row.sum()) for row in bars if row.any()})
    wins = [rate.wins for rate in blind.results]
    assert lengths[-1] == pytest.approx(240 * max(wins) / 2, abs=4)
