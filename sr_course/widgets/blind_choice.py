"""Two pictures of one scene, and the learner's eye between them: which method made which is told only at the end."""

from __future__ import annotations

import datetime
import math
import os
import random
import sqlite3
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import NormalDist
from typing import Any, Literal

import anywidget
import platformdirs
import traitlets
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from sr_course.errors import DataError, ImageError
from sr_course.widgets.compare import to_image
from sr_course.widgets.frame import fitted, front_end
from sr_course.widgets.still import Still, quick_png

Side = Literal["left", "right"]
Chosen = Literal["left", "right", "skip"]

QUESTION = "Which looks more like a photograph?"
_STILL_SIDE = 288  # px of a picture in the still
_LINE = 22
_GAP = 12
_BAR = (150, 240)  # px: where the bars of the still begin, and how long 100 percent is

# --- what is asked, and what was answered


@dataclass(frozen=True)
class Pair:
    """What two methods made of one scene.

    Attributes:
        scene: what the pictures show, in a few words that do not name a method.
        pictures: two by method, tensors `(1, 3, H, W)` in [0, 1] or Pillow images, of one size. They are shown pixel
            for pixel where there is room, so some 400 pixels a side is best; cut the interesting part out of a larger
            one.
        truth: the picture that both try to be, if it may be looked at.
    """

    scene: str
    pictures: Mapping[str, Tensor | Image.Image]
    truth: Tensor | Image.Image | None = None


@dataclass(frozen=True, kw_only=True)
class Choice:
    """One answer, as the file keeps it.

    Attributes:
        session: its number in the file.
        day: of the session, as in 2025-03-09.
        place: of the pair in the session, from 0.
        scene: what the pictures showed.
        left, right: the methods behind the pictures.
        chosen: `left`, `right` or `skip`.
    """

    session: int
    day: str
    place: int
    scene: str
    left: str
    right: str
    chosen: Chosen

    @property
    def winner(self) -> str | None:
        """The method that was chosen; nothing after a skip."""
        return {"left": self.left, "right": self.right, "skip": None}[self.chosen]


@dataclass(frozen=True, kw_only=True)
class Rate:
    """How often a method was chosen.

    Attributes:
        method: its name.
        wins, count: pairs in which it was chosen, and in which it stood and an answer was given.
        low, high: Wilson's interval of 95 percent about the rate.
    """

    method: str
    wins: int
    count: int
    low: float
    high: float

    @property
    def undecided(self) -> bool:
        """Whether the interval still contains one half, so that mere chance could have done this."""
        return self.low <= 0.5 <= self.high

    def __str__(self) -> str:
        interval = f"interval {100 * self.low:.0f} to {100 * self.high:.0f} %"
        return (
            f"{self.method} chosen {self.wins} of {self.count} times, {100 * self.wins / self.count:.0f} % ({interval})"
        )


def wilson_interval(wins: int, count: int, confidence: float = 0.95) -> tuple[float, float]:
    """Interval that holds the true rate with this confidence, also for few answers and for rates near 0 or 1.

    Args:
        wins, count: of `count` independent answers, `wins` were for it.
        confidence: between 0 and 1.

    Raises:
        ValueError: no answers, or more wins than answers.

    Source: Wilson 1927, "Probable inference, the law of succession, and statistical inference".
    """
    if not 0 <= wins <= count or count == 0:
        raise ValueError(f"{wins} wins of {count} answers are no rate; give at least one answer, and no more wins.")
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    rate, weight = wins / count, z**2 / count
    middle = (rate + weight / 2) / (1 + weight)
    half = z / (1 + weight) * math.sqrt(rate * (1 - rate) / count + weight / (4 * count))
    return max(0.0, middle - half), min(1.0, middle + half)


def tally(choices: Sequence[Choice]) -> list[Rate]:
    """Count how often each method was chosen, the most chosen first; skipped pairs do not count."""
    answered = [choice for choice in choices if choice.winner is not None]
    rates = []
    for method in sorted({name for choice in answered for name in (choice.left, choice.right)}):
        wins = sum(choice.winner == method for choice in answered)
        count = sum(method in (choice.left, choice.right) for choice in answered)
        low, high = wilson_interval(wins, count)
        rates.append(Rate(method=method, wins=wins, count=count, low=low, high=high))
    return sorted(rates, key=lambda rate: -rate.wins / rate.count)


class Ballot:
    """Pairs in random order and on random sides, and the answers so far.

    Each of two methods stands as often on the left as on the right, but for one when their number is odd.

    Args:
        pairs: of each the scene and the two names.
        seed: equal seeds give equal orders; without one every ballot differs.
    """

    def __init__(self, pairs: Sequence[tuple[str, tuple[str, str]]], seed: int | None) -> None:
        draw = random.Random(seed)  # noqa: S311  # no secret, only an order
        self.order = list(range(len(pairs)))
        draw.shuffle(self.order)
        swapped = [bool(place % 2) for place in self.order]
        draw.shuffle(swapped)
        self.shown: list[tuple[str, str, str]] = []  # scene, left, right
        for place, swap in zip(self.order, swapped, strict=True):
            scene, names = pairs[place]
            left, right = sorted(names, reverse=swap)
            self.shown.append((scene, left, right))
        self.answers: list[Chosen] = []
        self.stopped = False

    @property
    def done(self) -> bool:
        """Whether no more is asked."""
        return self.stopped or len(self.answers) == len(self.shown)

    def answer(self, chosen: Chosen) -> None:
        """Answer the pair that is seen, and go on to the next one.

        Raises:
            ValueError: there is no such answer, or no more is asked.
        """
        if chosen not in ("left", "right", "skip"):
            raise ValueError(f"{chosen!r} is no answer; choose 'left' or 'right', or skip.")
        if self.done:
            raise ValueError("all pairs are answered; undo the last answer to change it.")
        self.answers.append(chosen)

    def undo(self) -> None:
        """Take the last answer back, or the end; at the start nothing happens."""
        if self.stopped:
            self.stopped = False
        elif self.answers:
            self.answers.pop()

    def choices(self, session: int, day: str) -> list[Choice]:
        """Return the answers as the file keeps them."""
        given = enumerate(zip(self.shown, self.answers, strict=False))
        return [
            Choice(session=session, day=day, place=place, scene=scene, left=left, right=right, chosen=chosen)
            for place, ((scene, left, right), chosen) in given
        ]


# --- the file

_SCHEMA = """
CREATE TABLE sessions (id INTEGER PRIMARY KEY, day TEXT NOT NULL);
CREATE TABLE choices (
    session INTEGER NOT NULL REFERENCES sessions (id),
    place INTEGER NOT NULL,
    scene TEXT NOT NULL,
    "left" TEXT NOT NULL,
    "right" TEXT NOT NULL,
    chosen TEXT NOT NULL CHECK (chosen IN ('left', 'right', 'skip')),
    PRIMARY KEY (session, place)
);
"""
_APPLICATION = 0x53524243  # "SRBC": tells this file from the databases of other programs
_VERSION = 1
_HEADER = 100  # bytes that every SQLite file has
_PATIENCE = 1.0  # seconds that another process may hold the file


def default_file() -> Path:
    """Where answers are kept unless told: in SR_COURSE_DATA, else in the platform's folder for data of a program."""
    if chosen := os.environ.get("SR_COURSE_DATA", "").strip():
        return Path(chosen).expanduser().absolute() / "choices.sqlite3"
    return platformdirs.user_data_path("sr-course", appauthor=False) / "choices.sqlite3"


def save_choices(file: Path, session: int | None, day: str, choices: Sequence[Choice]) -> int:
    """Write all answers of a session, in one transaction: the file holds the old ones or the new ones, never a part.

    Args:
        file: made if need be, with its folder.
        session: its number in the file; nothing for a new one.
        day: of the session.
        choices: what replaces the session's answers.

    Returns:
        The session's number.

    Raises:
        DataError: the file cannot be used; says why.
    """
    with _opened(file, create=True) as connection:
        connection.execute("BEGIN IMMEDIATE")
        if session is None:
            session = connection.execute("INSERT INTO sessions (day) VALUES (?)", (day,)).lastrowid
        connection.execute("DELETE FROM choices WHERE session = ?", (session,))
        rows = [(session, one.place, one.scene, one.left, one.right, one.chosen) for one in choices]
        connection.executemany("INSERT INTO choices VALUES (?, ?, ?, ?, ?, ?)", rows)
        connection.execute("COMMIT")
    assert session is not None
    return session


def read_choices(file: str | os.PathLike[str] | None = None) -> list[Choice]:
    """Read the answers of all sessions back, in the order in which they were given.

    Args:
        file: as given to `BlindChoice`.

    Raises:
        DataError: there is no such file, or it cannot be used; says why.
    """
    path = default_file() if file is None else Path(file)
    query = """
        SELECT session, day, place, scene, "left", "right", chosen
        FROM choices JOIN sessions ON sessions.id = session ORDER BY session, place
    """
    with _opened(path, create=False) as connection:
        names = ("session", "day", "place", "scene", "left", "right", "chosen")
        return [Choice(**dict(zip(names, row, strict=True))) for row in connection.execute(query)]


@contextmanager
def _opened(file: Path, *, create: bool) -> Iterator[sqlite3.Connection]:
    """Open the file for a moment, so that a crash at any other time finds it closed."""
    connection = None
    try:
        if create:
            file.parent.mkdir(parents=True, exist_ok=True)
        elif not file.exists():
            raise DataError(f"{file}: there is no such file; answers are kept from the first one on.")
        if file.is_file() and 0 < file.stat().st_size < _HEADER:  # which SQLite would take for empty, and write over
            raise DataError(f"{file}: this file is damaged, or is no database.")
        if file.exists() and 0 < file.stat().st_size < _HEADER:  # newer versions of SQLite would begin anew in it
            raise DataError(f"{file}: {_DAMAGED}")
        connection = sqlite3.connect(file, timeout=_PATIENCE, isolation_level=None)  # transactions are begun by hand
        _prepare(connection, file, create=create)
        yield connection
    except (sqlite3.Error, OSError) as error:
        raise DataError(f"{file}: {_reason(error)}") from error
    finally:
        if connection is not None:
            connection.close()  # which also takes back what was not committed


def _prepare(connection: sqlite3.Connection, file: Path, *, create: bool) -> None:
    """Make the tables of an empty file; refuse the file of another program or of a later course."""
    application, version, tables = (
        connection.execute(query).fetchone()[0]
        for query in ("PRAGMA application_id", "PRAGMA user_version", "SELECT count(*) FROM sqlite_master")
    )
    if tables == 0 and create:
        marks = f"PRAGMA application_id = {_APPLICATION}; PRAGMA user_version = {_VERSION};"
        connection.executescript(f"BEGIN IMMEDIATE; {_SCHEMA} {marks} COMMIT;")
    elif (application, version) != (_APPLICATION, _VERSION):
        raise DataError(f"{file}: this is a database, but not one with the answers of this course.")


_HEADER = 100  # bytes with which every database that holds anything begins
_DAMAGED = "this file is damaged, or is no database."


def _reason(error: Exception) -> str:
    code = getattr(error, "sqlite_errorname", "") or ""
    if code.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
        return "another program holds this file."
    if code.startswith(("SQLITE_NOTADB", "SQLITE_CORRUPT")):
        return _DAMAGED
    if code.startswith("SQLITE_FULL"):
        return "there is no room left on this disk."
    if code.startswith(("SQLITE_READONLY", "SQLITE_CANTOPEN", "SQLITE_PERM", "SQLITE_AUTH")):
        return "this file cannot be written."
    said = error.strerror if isinstance(error, OSError) and error.strerror else error
    return f"this file cannot be used ({said})."


# --- the widget


class BlindChoice(Still, anywidget.AnyWidget):
    """Shows two pictures of one scene without saying who made them, and asks which one is better.

    Order and sides are random. Each answer is kept in a small SQLite file as soon as it is given; several sessions go
    into one file. It holds the day, the scenes, the methods and the answers, and nothing about who answered. When the
    file cannot be used, the widget says so and goes on in memory.

    At the end it tells how often each method was chosen, with Wilson's interval of 95 percent.

    Args:
        pairs: at least one.
        file: of the answers; `default_file()` unless told.
        seed: of order and sides; nothing for another order every time.
        question: what the learner decides.
        show_truth: show the true pictures from the start; the learner can show and hide them.

    Raises:
        ImageError: an unusable picture, or pictures of a pair that differ in size.
        ValueError: no pairs, or a pair that is not two pictures.
    """

    _esm = front_end("frame.js", "blind_choice.js")
    _css = front_end("frame.css", "blind_choice.css")

    _question = traitlets.Unicode().tag(sync=True)
    _pictures = traitlets.List(traitlets.Bytes()).tag(sync=True)  # as they are shown: left, right, truth or nothing
    _sizes = traitlets.List(traitlets.List(traitlets.Int())).tag(sync=True)  # width, height of each pair
    _state = traitlets.Dict().tag(sync=True)
    show_truth = traitlets.Bool(False).tag(sync=True)

    def __init__(
        self,
        pairs: Sequence[Pair],
        *,
        file: str | os.PathLike[str] | None = None,
        seed: int | None = 0,
        question: str = QUESTION,
        show_truth: bool = False,
    ) -> None:
        if not pairs:
            raise ValueError("BlindChoice got no pairs; give at least one.")
        self.file = default_file() if file is None else Path(file)
        self.note = ""
        self._day = datetime.datetime.now(tz=datetime.UTC).date().isoformat()
        self._session: int | None = None
        self._answers = 0
        self._turn = threading.RLock()  # JupyterLab lets two threads of the kernel answer its controls
        images = [_images(pair) for pair in pairs]
        self._ballot = Ballot([(pair.scene, _names(pair)) for pair in pairs], seed)
        self._images = [
            (images[index][left], images[index][right], images[index].get(_TRUTH))
            for index, (_, left, right) in zip(self._ballot.order, self._ballot.shown, strict=True)
        ]
        super().__init__(
            _question=question,
            _pictures=[b"" if one is None else quick_png(one) for three in self._images for one in three],
            _sizes=[list(three[0].size) for three in self._images],
            show_truth=show_truth,
        )
        self._show()
        self.on_msg(self._hear)

    @property
    def done(self) -> bool:
        """Whether no more is asked."""
        return self._ballot.done

    @property
    def place(self) -> int:
        """Which pair is seen, from 0; their number at the end."""
        return len(self._ballot.answers)

    @property
    def results(self) -> list[Rate]:
        """How often each method was chosen in this session; empty until the end, for until then it is a secret."""
        return tally(self._ballot.choices(0, self._day)) if self.done else []

    def choose(self, side: Side) -> None:
        """Answer the pair that is seen: `left` or `right`."""
        self._play(side)

    def skip(self) -> None:
        """Go on without an answer."""
        self._play("skip")

    def undo(self) -> None:
        """Take the last answer back."""
        with self._turn:
            self._ballot.undo()
            self._keep()

    def finish(self) -> None:
        """See the results of the pairs that were answered so far."""
        with self._turn:
            self._ballot.stopped = True
            self._show()

    def _play(self, chosen: Chosen) -> None:
        with self._turn:
            self._ballot.answer(chosen)
            self._keep()

    def _keep(self) -> None:
        """Write the session into the file. After a failure the next answer tries again, with all answers so far."""
        try:
            choices = self._ballot.choices(self._session or 0, self._day)
            self._session = save_choices(self.file, self._session, self._day, choices)
            self.note = ""
        except DataError as error:
            self.note = (
                f"{error} Your answers count, but they are kept only as long as this notebook runs; "
                "for more give BlindChoice another file=..."
            )
        self._show()

    def _hear(self, _widget: object, message: Mapping[str, Any], _buffers: object) -> None:
        """Do what a button says, unless it was meant for a pair that has gone by: two quick clicks are one answer."""
        with self._turn:
            deed = message.get("do")
            if deed in ("left", "right", "skip"):
                if message.get("place") == self.place and not self.done:
                    self._play(deed)
            elif deed == "undo":
                self.undo()
            elif deed == "finish":
                self.finish()
            self._show()

    def _show(self) -> None:
        self._answers += 1
        rates = self.results
        self._state = {
            "answer": self._answers,
            "place": self.place,
            "count": len(self._images),
            "done": self.done,
            "note": self.note,
            "scene": "" if self.done else self._ballot.shown[self.place][0],
            "rates": [{**asdict(rate), "says": str(rate)} for rate in rates],
            "verdict": _verdict(rates) if self.done else "",
            "before": self._before() if self.done else "",
        }

    def _before(self) -> str:
        """What all sessions in the file say together, if this is not the only one."""
        try:
            choices = read_choices(self.file)
        except DataError:
            return ""
        methods = {name for _, left, right in self._ballot.shown for name in (left, right)}
        choices = [one for one in choices if {one.left, one.right} <= methods]
        sessions = {one.session for one in choices}
        rates = tally(choices)
        if not rates or sessions <= {self._session}:
            return ""
        return f"All {len(sessions)} sessions in the file together: {'; '.join(map(str, rates))}."

    def still(self) -> Image.Image:
        """Draw the pair that is seen, without names; at the end the rates with their intervals."""
        return self._draw_results() if self.done else self._draw_pair()

    def _draw_pair(self) -> Image.Image:
        left, right, truth = self._images[self.place]
        shown = {"left": left, "right": right}
        if self.show_truth and truth is not None:
            shown["truth"] = truth
        tiles = {name: fitted(image, _STILL_SIDE) for name, image in shown.items()}
        width = max(sum(tile.width + _GAP for tile in tiles.values()) - _GAP, 420)
        sheet = Image.new("RGB", (width, 2 * _LINE + max(tile.height for tile in tiles.values())), "white")
        draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(14)
        draw.text((0, 2), f"{self._question} ({self.place + 1} of {len(self._images)})", "black", font)
        x = 0
        for name, tile in tiles.items():
            draw.text((x, _LINE), name, "black", font)
            sheet.paste(tile, (x, 2 * _LINE))
            x += tile.width + _GAP
        return sheet

    def _draw_results(self) -> Image.Image:
        rates = self.results
        start, length = _BAR
        sheet = Image.new("RGB", (760, 2 * _LINE + 34 * len(rates) + 10), "white")
        draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(14)
        draw.text((0, 2), self._question, "black", font)
        for row, rate in enumerate(rates):
            y = _LINE + 10 + 34 * row
            draw.text((0, y + 4), rate.method, "black", font)
            draw.rectangle((start, y + 3, start + length * rate.wins / rate.count, y + 23), fill="#9fcbe5")
            ends = start + length * rate.low, start + length * rate.high
            draw.line([(ends[0], y + 13), (ends[1], y + 13)], fill="black", width=2)
            for end in ends:
                draw.line([(end, y + 8), (end, y + 18)], fill="black", width=2)
            draw.text((start + length + 14, y + 4), _numbers(rate), "black", font)
        half, bottom = start + length / 2, _LINE + 8 + 34 * len(rates)
        if rates:
            draw.line([(half, _LINE + 8), (half, bottom)], fill=(110, 110, 110))
        draw.text((0, bottom + 4), _verdict(rates), "black", font)
        return sheet

    def alt(self) -> str:
        """Say what is asked, and at the end what was answered."""
        if self.done:
            return f"{self._question} {self._told()}"
        scene, _, _ = self._ballot.shown[self.place]
        return f"Pair {self.place + 1} of {len(self._images)}: two pictures of {scene}. {self._question}"

    def summary(self) -> str:
        """Give the number of answers, and at the end the rates."""
        if self.done:
            return f"BlindChoice({self._told()})"
        return f"BlindChoice({len(self._images)} pairs, {self.place} answered)"

    def _told(self) -> str:
        rates = self.results
        return " ".join([*(f"{rate}." for rate in rates), _verdict(rates)])


_TRUTH = ""  # among the images of a pair, for no method has this name


def _names(pair: Pair) -> tuple[str, str]:
    first, second = pair.pictures
    return first, second


def _images(pair: Pair) -> dict[str, Image.Image]:
    """Pictures of a pair by method, and the truth."""
    if len(pair.pictures) != 2:
        raise ValueError(f"the pair {pair.scene!r} has {len(pair.pictures)} pictures; give two, each with its method.")
    images = {name: to_image(name, picture).convert("RGB") for name, picture in pair.pictures.items()}
    if pair.truth is not None:
        images[_TRUTH] = to_image("truth", pair.truth).convert("RGB")
    sizes = {image.size for image in images.values()}
    if len(sizes) > 1:
        said = " and ".join(sorted(f"{width}x{height}" for width, height in sizes))
        raise ImageError(f"the pictures of {pair.scene!r} are {said}; cut or enlarge them to one size.")
    return images


def _numbers(rate: Rate) -> str:
    interval = f"{100 * rate.low:.0f} to {100 * rate.high:.0f} %"
    return f"{100 * rate.wins / rate.count:.0f} %, {rate.wins} of {rate.count} (interval {interval})"


def _verdict(rates: Sequence[Rate]) -> str:
    """What may be concluded, and what may not."""
    if not rates:
        return "No pair was answered, so there is nothing to count."
    decided = [rate.method for rate in rates if rate.low > 0.5]
    if not decided:
        return "Every interval still contains one half: chance alone could have done this. More pairs would tell."
    return f"You preferred {' and '.join(decided)}: the interval lies above one half."
