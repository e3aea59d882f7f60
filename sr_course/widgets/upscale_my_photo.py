"""Your own photograph, enlarged by the networks of the course: choose it, choose a network, compare, download."""

from __future__ import annotations

import io
import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import PurePath
from typing import Any

import anywidget
import ipywidgets
import traitlets
from PIL import Image
from torch import Tensor, nn

from sr_course import images, zoo
from sr_course.data.catalog import find_entry, load_catalog
from sr_course.data.fetch import is_here
from sr_course.data.shipped import photo
from sr_course.errors import CourseError, ImageError, ModelError
from sr_course.models.interpolation import Interpolation
from sr_course.upscaling import upscale
from sr_course.widgets.compare import MOST_PICTURES, CompareSlider, to_image
from sr_course.widgets.frame import front_end, png
from sr_course.widgets.still import Still

SCALE = 4
BYTE_LIMIT = 40 * 2**20  # of a file: more is no photograph for the browser
PIXEL_LIMIT = 60_000_000  # of a photograph: 240 MB once it is read
PART = 400  # px: the longest side of the part that is enlarged, so that a laptop is done within a minute
PIECE = 2**20  # bytes of an upload in one message; Jupyter's server takes 10 MB and no more

_EXAMPLE, _EXAMPLE_BOX = "red_panda", (88, 136, 208, 226)
_OVERVIEW = 200  # px: the longest side of the small picture that shows which part is taken
_TILE, _TILE_FAR = 100, 200  # source pixels; the larger where tiles share many
_FAR = 40
_BETWEEN_REPORTS = 0.25  # seconds
_PHOTO, _BICUBIC = "photo", "bicubic"


class _StoppedError(Exception):
    """The learner has had enough of it."""


@dataclass(eq=False)
class Job:
    """One enlargement of one picture by one network, which can be stopped from another thread at any time.

    Attributes:
        picture: `L`, `LA`, `RGB` or `RGBA`.
        method: a name of the zoo.
        progress: share of the work that is done.
        begun: by the clock, seconds.
    """

    picture: Image.Image
    method: str
    progress: float = 0.0
    begun: float = field(default_factory=time.monotonic)
    _stop: threading.Event = field(default_factory=threading.Event)

    @property
    def remaining(self) -> float | None:
        """Seconds that the rest will take, once there is something to judge by."""
        if self.progress < 0.05:
            return None
        return (time.monotonic() - self.begun) * (1 - self.progress) / self.progress

    @property
    def stopped(self) -> bool:
        """Whether it was told to end."""
        return self._stop.is_set()

    def stop(self) -> None:
        """Have the work end before its next convolution."""
        self._stop.set()

    def run(self, report: Callable[[], None] = lambda: None) -> Image.Image:
        """Do the work in this thread; `report` is called whenever there is progress.

        Raises:
            ModelError: the weights are missing or damaged.
        """
        network, overlap = zoo.load(self.method, SCALE), zoo.method(self.method).overlap
        self.begun = time.monotonic()
        convolutions = [module for module in network.modules() if isinstance(module, nn.Conv2d)]
        done = tiles = ran = 0

        def on_tile(tiles_done: int, count: int) -> None:
            nonlocal done, tiles, ran
            done, tiles, ran = tiles_done, count, 0
            step()

        def on_convolution(*_: object) -> None:
            nonlocal ran
            ran += 1
            step()

        def step() -> None:
            if self.stopped:
                raise _StoppedError
            self.progress = (done + min(1, ran / (len(convolutions) + 1))) / tiles
            report()

        with _told_of(convolutions, on_convolution):
            tile = _TILE if overlap <= _FAR else _TILE_FAR
            result = upscale(network, self.picture, SCALE, tile=tile, overlap=overlap, on_tile=on_tile)
        self.progress = 1.0
        return result


@contextmanager
def _told_of(modules: Sequence[nn.Module], call: Callable[..., None]) -> Iterator[None]:
    """Call something before each of the modules runs."""
    hooks = [module.register_forward_pre_hook(call) for module in modules]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


class _Controls(anywidget.AnyWidget):
    """The upper half of the widget: everything but the comparison."""

    _esm = front_end("frame.js", "upscale_my_photo.js")
    _css = front_end("frame.css", "upscale_my_photo.css")

    _state = traitlets.Dict().tag(sync=True)
    _overview = traitlets.Bytes().tag(sync=True)  # PNG, of a photograph larger than the part
    _piece = traitlets.Int(PIECE).tag(sync=True)


class UpscaleMyPhoto(Still, ipywidgets.VBox):  # type: ignore[misc]  # ipywidgets has no types
    """Enlarges a photograph of the learner four times, and lays the results over each other.

    The browser hands the photograph to the kernel, in pieces, and to nobody else. Of a photograph with more
    than `PART` pixels a side, a part of that size is enlarged, which can be moved; `sr-course upscale` takes the whole
    of it. The work runs in a thread of its own, tile by tile, and can be stopped at any time; closing the widget stops
    it too. The result keeps transparency and colour profile, and can be downloaded as PNG. The results of the last
    seven networks stay until the picture changes.

    A bad file is answered with a sentence in the widget.

    Args:
        picture: a file, a tensor `(1, 3, H, W)` in [0, 1] or a Pillow image, enlarged in the background (see `wait`);
            unless given, a part of a photograph that ships with the course, enlarged at once.
        method: name of a network of the course.

    Raises:
        ImageError: the picture cannot be used; says why.
        ModelError: the course has no network of that name.
    """

    def __init__(
        self, picture: str | os.PathLike[str] | Tensor | Image.Image | None = None, method: str = "srgan"
    ) -> None:
        self.results: dict[str, Image.Image] = {}
        self._turn = threading.RLock()  # the worker and JupyterLab's threads meet here
        self._job: Job | None = None
        self._worker: threading.Thread | None = None
        self._upload: _Upload | None = None
        self._original: images.Original | None = None
        self._before: CompareSlider | None = None  # the comparison before, which a browser may still be opening
        _check_method(method)
        given = None if picture is None else _named(picture, "")
        self.method = method
        self.note = ""
        self.name = ""
        self._place = (0.5, 0.5)
        self._answers = 0
        self._reported = 0.0
        self._scene = ""
        self._known: list[dict[str, str]] = []
        self._controls = _Controls()
        self._compare: CompareSlider | None = None
        super().__init__(layout=ipywidgets.Layout(width="100%"))
        self._controls.on_msg(self._hear)
        if given is None:
            self._take_example()
        else:
            self._accept(*given)
            self.start()

    # --- what a learner does, from Python or by the controls

    def take(self, picture: str | os.PathLike[str] | bytes | Tensor | Image.Image, name: str = "") -> None:
        """Take another picture; what runs is stopped, and what was made of the old one goes.

        Args:
            picture: as for the widget, or the content of a file.
            name: what to call it.

        Raises:
            ImageError: it cannot be used; says why. Then the old one stays.
        """
        self._accept(*_named(picture, name))

    def move(self, across: float, down: float) -> None:
        """Enlarge another part of a large photograph: its middle, as fractions of the width and height.

        Raises:
            ValueError: a fraction is outside of [0, 1].
        """
        if not (0 <= across <= 1 and 0 <= down <= 1):
            raise ValueError(f"the part is at {across:g}, {down:g}; both go from 0 to 1.")
        with self._turn:
            self.cancel()
            self._place, self.note = (across, down), ""
            self._begin_anew()

    def choose(self, method: str) -> None:
        """Choose a network; `start` runs it.

        Raises:
            ModelError: the course has no network of that name, or its weights are not here; says how to fetch them.
        """
        _check_method(method)
        if lacking := _lacking(method):
            raise ModelError(lacking)
        with self._turn:
            self.method, self.note = method, ""
            if method in self.results and self._compare is not None:
                self._compare.right = method
            self._show()

    def start(self) -> None:
        """Enlarge the picture by the chosen network, in the background; while something runs, nothing happens."""
        with self._turn:
            if self._job is not None:
                return
            self.note = _lacking(self.method)
            if not self.note:
                self._job = Job(self._part, self.method)
                self._worker = threading.Thread(target=self._work, args=(self._job,), daemon=True)
                self._worker.start()
            self._show()

    def cancel(self) -> None:
        """Stop what runs; it ends before its next convolution, and nothing of it is kept."""
        with self._turn:
            if self._job is not None:
                self._job.stop()
                self._job = None
                self.note = "Stopped."
                self._show()

    def wait(self, seconds: float | None = None) -> None:
        """Wait until what runs has ended, or for so many seconds."""
        worker = self._worker
        if worker is not None:
            worker.join(seconds)

    def close(self) -> None:
        """Stop what runs, and free the pictures on both sides."""
        with self._turn:
            if self._job is not None:
                self._job.stop()
                self._job = None
            self._upload = self._original = None
            self.results = {}
            if self._before is not None:
                self._before.close()
        super().close()

    @property
    def working(self) -> bool:
        """Whether something runs."""
        return self._job is not None

    @property
    def progress(self) -> float:
        """Share of the running work that is done."""
        return self._job.progress if self._job is not None else 0.0

    def result_file(self, method: str | None = None) -> tuple[str, bytes]:
        """Return a name for the result of a network, the chosen one unless told, and its PNG with the colour profile.

        Raises:
            ImageError: there is none yet.
        """
        method = method or self.method
        with self._turn:
            if method not in self.results or self._original is None:
                raise ImageError(f"{method} has not enlarged this picture yet; start it first.")
            buffer = io.BytesIO()
            self.results[method].save(buffer, "PNG", icc_profile=self._original.profile)
            return f"{PurePath(self.name).stem}-{method}-x{SCALE}.png", buffer.getvalue()

    # --- the work

    def _take_example(self) -> None:
        """Show a photograph of the course, so that there is something to see, also without a kernel."""
        example = photo(_EXAMPLE)
        with Image.open(example.path) as opened:
            self.take(opened.convert("RGB").crop(_EXAMPLE_BOX), f"a part of {_EXAMPLE}")
        self._scene = f"A part of this photograph: {example.description}"
        if lacking := _lacking(self.method):
            self.note = lacking
            self._show()
        else:
            self._keep(Job(self._part, self.method))

    def _accept(self, original: images.Original, name: str) -> None:
        with self._turn:
            self.cancel()
            self._original, self.name, self._place, self._scene = original, name, (0.5, 0.5), ""
            self.note = " ".join(original.changes)
            self._begin_anew()

    def _work(self, job: Job) -> None:
        """The worker's thread: run the job, and keep its result unless it was stopped meanwhile."""
        try:
            self._keep(job)
        except _StoppedError:
            pass
        except (CourseError, MemoryError, RuntimeError) as error:
            words = str(error) if isinstance(error, CourseError) else f"{job.method} could not do it ({error})."
            self._end(job, words)

    def _keep(self, job: Job) -> None:
        result = job.run(lambda: self._report(job))
        with self._turn:
            if job.stopped:  # at the last moment
                return
            self.results.pop(job.method, None)  # so that it becomes the last
            self.results[job.method] = result
            for oldest in list(self.results)[: -(MOST_PICTURES - 2)]:  # beside the photo and its cubic enlargement
                del self.results[oldest]
            self._show_pictures()
            self._end(job, "")

    def _end(self, job: Job, note: str) -> None:
        with self._turn:
            if not job.stopped:
                self._job = None
                self.note = note
                self._show()

    def _report(self, job: Job) -> None:
        now = time.monotonic()
        if now - self._reported > _BETWEEN_REPORTS:
            with self._turn:
                if self._job is job:
                    self._reported = now
                    self._show()

    # --- what is seen

    def _begin_anew(self) -> None:
        """Cut the part out of the photograph, and show it with its cubic enlargement alone."""
        assert self._original is not None
        image = self._original.image
        self._box = _part_box(image.size, self._place)
        self._part = image.crop(self._box)
        self.results = {}
        self._bicubic = upscale(Interpolation(SCALE), self._part, SCALE)
        self._controls._overview = _overview(image) if self._part.size != image.size else b""
        self._show_pictures()
        self._show()

    def _show_pictures(self) -> None:
        """Lay what there is into a new comparison, seen as the old one was."""
        old = self._compare
        last = list(self.results)[-1] if self.results else _BICUBIC
        self._compare = CompareSlider(
            {_PHOTO: self._part, _BICUBIC: self._bicubic, **self.results},
            left=_BICUBIC if self.results else _PHOTO,
            right=last,
            scene=self._scene or self.name,
        )
        if old is not None and self.results:
            self._compare.position, self._compare.zoom, self._compare.center = old.position, old.zoom, old.center
        self.children = (self._controls, self._compare)
        if self._before is not None:
            self._before.close()
        self._before = old

    def _show(self) -> None:
        self._answers += 1
        if self._job is None or not self._known:  # files are looked at; not while the work reports
            self._known = [{"name": name, "lacking": _lacking(name)} for name in _methods()]
        upload, job = self._upload, self._job
        width, height = self._original.image.size if self._original else (1, 1)
        left, top, right, bottom = self._box
        remaining = job.remaining if job else None
        self._controls._state = {
            "answer": self._answers,
            "name": self.name,
            "says": f"{self.name}, {self._size()}",
            "part": [left / width, top / height, (right - left) / width, (bottom - top) / height],
            "place": list(self._place),
            "methods": self._known,
            "method": self.method,
            "working": job.method if job else "",
            "progress": round(job.progress, 3) if job else 0,
            "remaining": "" if remaining is None else f"about {_duration(remaining)} left",
            "note": self.note,
            "done": list(self.results),
            "upload": {"id": upload.id, "got": len(upload.content), "size": upload.size} if upload else None,
        }

    def _size(self) -> str:
        assert self._original is not None
        whole, part = self._original.image.size, self._part.size
        enlarged = f"{part[0]}x{part[1]} to {part[0] * SCALE}x{part[1] * SCALE}"
        return enlarged if whole == part else f"{whole[0]}x{whole[1]}, of which {enlarged}"

    # --- what the controls say

    def _hear(self, _widget: object, message: Mapping[str, Any], buffers: Sequence[Any]) -> None:
        with self._turn:
            try:
                self._obey(message, buffers)
            except CourseError as error:
                self._upload = None
                self.note = str(error)
            self._show()

    def _obey(self, message: Mapping[str, Any], buffers: Sequence[Any]) -> None:
        match message.get("do"):
            case "begin":
                self._begin_upload(str(message["id"]), str(message["name"]), int(message["size"]))
            case "piece":
                self._take_piece(str(message["id"]), int(message["offset"]), bytes(buffers[0]))
            case "refuse":
                raise ImageError(str(message["why"]))
            case "method":
                self.choose(str(message["name"]))
            case "move":
                self.move(*(min(max(float(value), 0), 1) for value in message["place"]))
            case "start":
                self.start()
            case "cancel":
                self._upload = None
                self.cancel()
            case "file":
                name, content = self.result_file()
                self._controls.send({"file": name, "view": message.get("view")}, buffers=[content])

    def _begin_upload(self, upload_id: str, name: str, size: int) -> None:
        if size > BYTE_LIMIT:
            raise ImageError(
                f"{name}: has {size / 1e6:.0f} MB, and up to {BYTE_LIMIT / 1e6:.0f} MB are taken here. Save it "
                "as JPEG, or enlarge it with `sr-course upscale`, which takes files of any size."
            )
        self.note = ""
        self._upload = _Upload(upload_id, name, size)
        if size == 0:
            self._finish_upload()

    def _take_piece(self, upload_id: str, offset: int, piece: bytes) -> None:
        """Append a piece of the upload that is expected; pieces of another one were sent before it was given up."""
        upload = self._upload
        if upload is None or upload.id != upload_id or offset != len(upload.content):
            return
        upload.content += piece
        if len(upload.content) > upload.size:
            raise ImageError(f"{upload.name}: is larger than was said. Choose it again.")
        if len(upload.content) == upload.size:
            self._finish_upload()

    def _finish_upload(self) -> None:
        upload, self._upload = self._upload, None
        assert upload is not None
        self.take(bytes(upload.content), upload.name)

    # --- what a notebook keeps

    def still(self) -> Image.Image:
        """Draw the comparison as it is seen."""
        assert self._compare is not None
        return self._compare.still()

    def alt(self) -> str:
        """Say what is compared."""
        assert self._compare is not None
        return self._compare.alt()

    def summary(self) -> str:
        """Give the picture, its size before and after, and by what it was enlarged."""
        made = ", ".join(self.results) or "no network yet"
        return f"UpscaleMyPhoto({self.name}, {self._size()}, by {made})"


@dataclass
class _Upload:
    """A file on its way from the browser."""

    id: str
    name: str
    size: int
    content: bytearray = field(default_factory=bytearray)


def _methods() -> list[str]:
    """Names of the networks that enlarge by `SCALE`."""
    return [card.name for card in zoo.cards() if card.scale == SCALE]


def _check_method(method: str) -> None:
    if method not in _methods():
        raise ModelError(f"there is no network {method!r} here; choose from {', '.join(_methods())}.")


def _lacking(method: str) -> str:
    """Say how to fetch the weights of a network, if they are not here."""
    card = zoo.card(method, SCALE)
    if card.weights is not None:
        return ""
    entry = find_entry(load_catalog(), card.artefact)
    if is_here(entry):
        return ""
    return (
        f"{method}: its weights ({(entry.size or 0) / 1e6:.0f} MB) are not on this computer. Fetch them once with "
        f"`sr-course data get {entry.name}`, then choose it again."
    )


def _named(picture: object, name: str) -> tuple[images.Original, str]:
    """Return a picture ready to be enlarged, and what to call it: of a file its name without folders."""
    if not name and isinstance(picture, (str, os.PathLike)):
        name = os.fspath(picture)
    name = PurePath(name.replace("\\", "/")).name or "picture"
    return _read(picture, name), name


def _read(picture: object, name: str) -> images.Original:
    """Return any kind of picture as one that can be enlarged.

    Raises:
        ImageError: it cannot be used; says why.
    """
    if isinstance(picture, (bytes, str, os.PathLike)):
        content = picture if isinstance(picture, bytes) else None
        where = name if isinstance(picture, bytes) else picture
        width, height = images.size(where, content)
        if width * height > PIXEL_LIMIT:
            raise ImageError(
                f"{name}: has {width}x{height} pixels, and up to {PIXEL_LIMIT / 1e6:.0f} million are taken here. "
                "Crop it first."
            )
        return images.read_original(where, content)
    if isinstance(picture, Image.Image):
        kept = picture if picture.mode in ("L", "LA", "RGB", "RGBA") else images.to_pil(images.from_pil(picture))
        profile = picture.info.get("icc_profile") if picture.mode in ("RGB", "RGBA") else None
        return images.Original(image=kept.copy(), profile=profile, changes=())
    if isinstance(picture, Tensor):
        return images.Original(image=to_image(name, picture), profile=None, changes=())
    raise ImageError(f"a {type(picture).__name__} is not a picture; give a file, a tensor (1, 3, H, W) or an image.")


def _part_box(size: tuple[int, int], place: tuple[float, float]) -> tuple[int, int, int, int]:
    """Left, top, right and bottom of the part about a place, inside the picture."""
    starts, ends = [], []
    for side, middle in zip(size, place, strict=True):
        length = min(side, PART)
        start = min(max(round(middle * side - length / 2), 0), side - length)
        starts.append(start)
        ends.append(start + length)
    return starts[0], starts[1], ends[0], ends[1]


def _overview(image: Image.Image) -> bytes:
    small = image.convert("RGB")
    small.thumbnail((_OVERVIEW, _OVERVIEW), reducing_gap=2)
    return png(small)


def _duration(seconds: float) -> str:
    return f"{max(1, round(seconds))} s" if seconds < 90 else f"{round(seconds / 60)} minutes"
