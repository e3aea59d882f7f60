"""The patch store: pictures decoded once, into one file that batches are cut from.

Decoding a photograph for every crop would take longer than the training step itself. So all pictures of a data set
are decoded once into one uint8 file, which the system maps into memory: a crop is then a copy of some rows, however
large the picture and however large the data set.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import secrets
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from sr_course import images
from sr_course.data.cache import cache_folder, locked, make_folder, require_space
from sr_course.data.shipped import SHIPPED, photos
from sr_course.errors import DataError
from sr_course.resample import imresize

_log = logging.getLogger(__name__)
_FORMAT = 1  # raise it when pictures come to be stored differently: older stores then count as stale

SHIPPED_REDUCE = (3, 4, 6)
"""The shipped photographs are lossy: only reduced are they sharp and clean enough to serve as ground truth."""


@dataclass(frozen=True, kw_only=True)
class StoredPicture:
    """Where a picture lies in the store: `height * width * 3` bytes from `offset` on, row by row, RGB."""

    name: str
    offset: int
    height: int
    width: int


@dataclass(frozen=True, kw_only=True)
class PatchStore:
    """Pictures of 8 bits in one memory-mapped file.

    Attributes:
        folder: where the store lies.
        pictures: what it holds, in order.
        sha256: of all pixels; two stores of one checksum give the same crops.
        pixels: `(bytes,)` uint8, read from disk as they are touched.
    """

    folder: Path
    pictures: tuple[StoredPicture, ...]
    sha256: str
    pixels: NDArray[np.uint8]

    def picture(self, index: int) -> NDArray[np.uint8]:
        """Return one picture, `(H, W, 3)` uint8, without reading it yet."""
        stored = self.pictures[index]
        size = stored.height * stored.width * 3
        return self.pixels[stored.offset : stored.offset + size].reshape(stored.height, stored.width, 3)


def open_data(data: str, reduce: Sequence[int] = ()) -> PatchStore:
    """Open the store of a folder of pictures, or of the shipped training photographs; make it where it is missing.

    Args:
        data: a folder, or `shipped`.
        reduce: each picture is stored reduced by each of these factors. By default the shipped photographs are reduced
            by 3, 4 and 6, for they are lossy, and other pictures are stored as they are.

    Raises:
        DataError: no such folder, no pictures in it, no room on the disk, or a place that cannot be written.
        ImageError: a picture that cannot be read.
    """
    if data == SHIPPED:
        return open_store([photo.path for photo in photos("train")], reduce=tuple(reduce) or SHIPPED_REDUCE)
    return open_store(pictures_in(data), reduce=tuple(reduce) or (1,))


def pictures_in(folder: str | os.PathLike[str], *, deep: bool = True) -> list[Path]:
    """List the picture files of a folder by name; hidden files and folders are left out.

    Args:
        folder: where to look.
        deep: look into the folders within it too.

    Raises:
        DataError: no such folder, no pictures in it, or one that may not be read.
    """
    folder = Path(folder)
    found = []
    try:
        if not folder.is_dir():
            raise DataError(f"{folder}: there is no such folder of pictures. Check the name.")
        for place, folders, names in os.walk(folder, onerror=_refuse):
            folders[:] = [name for name in folders if deep and not name.startswith(".")]
            found += [path for path in map(Path(place).joinpath, names) if _is_picture(path)]
    except PermissionError as error:
        raise DataError(
            f"{error.filename}: this folder may not be read. Change its permissions, or name a copy of it."
        ) from None
    if not found:
        raise DataError(f"{folder}: holds no pictures ({', '.join(images.SUFFIXES)}). Name the folder they are in.")
    return sorted(found)


def _is_picture(path: Path) -> bool:
    return images.is_picture_name(path) and path.is_file()


def _refuse(error: OSError) -> None:
    raise error


def open_store(files: Sequence[Path], *, reduce: Sequence[int] = (1,), folder: Path | None = None) -> PatchStore:
    """Open the store of these picture files, and make it first where it is missing, stale or damaged.

    Two processes may do so at once: one makes the store, the other waits.

    Args:
        files: pictures that `images.read_pil` reads.
        reduce: each picture is stored reduced by each of these factors, as MATLAB's bicubic does it.
        folder: where the store lies; by default a folder of the cache, named by the files.

    Raises:
        DataError: no room on the disk, or a place that cannot be written.
        ImageError: a picture that cannot be read.
    """
    folder = folder or _default_folder(files, reduce)
    sources = _sources(files, reduce)
    with locked(folder.with_name(f"{folder.name}.lock")):
        store, wrong = _load(folder, sources)
        if store is None:
            if wrong:
                _log.warning("%s: %s; making it anew.", folder, wrong)
            _make(folder, files, reduce, sources)
            store, wrong = _load(folder, sources)
        if store is None:
            raise DataError(f"{folder}: {wrong} just after it was written. Check the disk.")
    return store


def _default_folder(files: Sequence[Path], reduce: Sequence[int]) -> Path:
    parent = files[0].absolute().parent
    key = hashlib.sha256(json.dumps([str(parent), list(reduce)]).encode()).hexdigest()[:12]
    return cache_folder() / "patches" / f"{parent.name}-{key}"


def _sources(files: Sequence[Path], reduce: Sequence[int]) -> dict[str, object]:
    """What a store was made from; a store made from anything else is stale."""
    stats = [(str(path.absolute()), path.stat()) for path in files]
    return {
        "format": _FORMAT,
        "reduce": list(reduce),
        "files": [[name, stat.st_size, stat.st_mtime_ns] for name, stat in stats],
    }


def _load(folder: Path, sources: dict[str, object]) -> tuple[PatchStore | None, str]:
    """Return the store, or None and what is wrong with it (nothing, where there is none yet)."""
    try:
        index = json.loads((folder / "index.json").read_text(encoding="utf-8"))
        if index["sources"] != sources:
            return None, "the pictures have changed since this store was made"
        pixels_file = folder / index["pixels"]
        if pixels_file.stat().st_size != index["bytes"]:
            return None, f"{pixels_file.name} has another size than it was written with"
        # Reading all of it also brings it into the system's cache, where the first batches find it.
        with pixels_file.open("rb") as file:
            if hashlib.file_digest(file, "sha256").hexdigest() != index["sha256"]:
                return None, f"{pixels_file.name} is damaged"
        pictures = tuple(StoredPicture(**one) for one in index["pictures"])
        pixels = np.memmap(pixels_file, dtype=np.uint8, mode="r")
    except FileNotFoundError:
        return None, ""
    except (OSError, ValueError, KeyError, TypeError) as error:
        return None, f"the store cannot be read ({error})"
    return PatchStore(folder=folder, pictures=pictures, sha256=index["sha256"], pixels=pixels), ""


def _make(folder: Path, files: Sequence[Path], reduce: Sequence[int], sources: dict[str, object]) -> None:
    from tqdm import tqdm

    make_folder(folder)
    areas = [width * height for width, height in map(images.size, files)]
    require_space(folder, int(sum(3 * area / r**2 for area in areas for r in reduce) * 1.05), f"{folder.name}")
    part = folder / f"{secrets.token_hex(4)}.part"
    try:
        digest, offset, pictures = hashlib.sha256(), 0, []
        with part.open("xb") as file:
            silent = True if len(files) < 10 else None  # None is tqdm's way to say: only on a terminal
            for path in tqdm(files, desc="decoding pictures once", unit="picture", disable=silent, leave=False):
                picture = torch.from_numpy(np.array(images.read_pil(path))).permute(2, 0, 1)  # (3, H, W) uint8
                for factor in reduce:
                    if min(picture.shape[-2:]) < factor:
                        continue
                    small = picture if factor == 1 else imresize(picture, 1 / factor)
                    data = small.permute(1, 2, 0).contiguous().numpy().tobytes()
                    name = path.stem if factor == 1 else f"{path.stem} / {factor}"
                    height, width = small.shape[-2:]
                    pictures.append(StoredPicture(name=name, offset=offset, height=height, width=width))
                    file.write(data)
                    digest.update(data)
                    offset += len(data)
            file.flush()
            os.fsync(file.fileno())
        pixels = folder / f"pixels-{digest.hexdigest()[:12]}.bin"
        part.replace(pixels)
        index = {
            "sources": sources,
            "pixels": pixels.name,
            "bytes": offset,
            "sha256": digest.hexdigest(),
            "pictures": [asdict(picture) for picture in pictures],
        }
        part.write_text(json.dumps(index, indent=1), encoding="utf-8")
        part.replace(folder / "index.json")  # from here on the new store counts
        for old in [*folder.glob("*.part"), *folder.glob("pixels-*.bin")]:
            if old != pixels:
                _remove(old)
    except OSError as error:
        raise DataError(
            f"{folder}: the store of decoded pictures cannot be written ({error.strerror or error}). "
            "Make room there, or set SR_COURSE_DATA to a folder on another disk."
        ) from error
    finally:
        _remove(part)


def _remove(path: Path) -> None:
    try:
        path.unlink(missing_ok=True)
    except PermissionError:
        _log.info("%s: still in use by another process; left where it is.", path)  # Windows; the next making removes it
