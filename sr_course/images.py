"""Pictures: file or PIL image to tensor and back, BT.601 luma, grids of pictures.

A picture of the course is a tensor `(1, 3, H, W)`, float32, RGB, in [0, 1], whatever the file held.
"""

from __future__ import annotations

import io
import os
import secrets
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import ExifTags, Image, ImageCms, ImageOps, UnidentifiedImageError
from torch import Tensor

from sr_course.errors import ImageError

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff", ".gif", ".ppm", ".pgm")
LONGEST_SIDE = {"JPEG": 65_535, "WEBP": 16_383, "PNG": 2**31 - 1}  # what each format can hold
_FORMATS = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".webp": "WEBP"}
_SIXTEEN_BIT = ("I", "I;16", "I;16L", "I;16B", "I;16N")
_WITH_ALPHA = ("LA", "La", "PA", "RGBA", "RGBa")


@dataclass(frozen=True, kw_only=True)
class Original:
    """A picture as its author made it: what `read` gives up, transparency and colour profile, is kept.

    Attributes:
        image: 8 bits a channel and upright; of mode `L`, `LA`, `RGB` or `RGBA`.
        profile: the ICC profile that says what its numbers mean; None where the file had none that fits.
        changes: what could not be kept, a sentence each.
    """

    image: Image.Image
    profile: bytes | None
    changes: tuple[str, ...]

    @property
    def has_alpha(self) -> bool:
        """Whether some of it may be transparent."""
        return self.image.mode in ("LA", "RGBA")


def read(path: str | os.PathLike[str]) -> Tensor:
    """Read any picture that Pillow can read.

    The camera's orientation (EXIF) is applied; of an animation the first frame is taken. Grey becomes three equal
    channels, 16-bit grey keeps its precision, transparency is laid over white, CMYK goes through the file's colour
    profile where it has one. The colours of an RGB file are taken as they stand: benchmarks are measured that way.

    Returns:
        `(1, 3, H, W)` float32 RGB in [0, 1], on the CPU.

    Raises:
        ImageError: no such file, not a picture, cut short, or over Pillow's limit of about 179 megapixels.
    """
    image = _open(path)
    with _told_of(path):
        return from_pil(image)


def read_pil(path: str | os.PathLike[str]) -> Image.Image:
    """Read a picture as `read` does, into an 8-bit RGB Pillow image: a quarter of the memory, for large pictures."""
    image = _open(path)
    with _told_of(path):
        return _rgb(image)


def read_original(path: str | os.PathLike[str], content: bytes | None = None) -> Original:
    """Read a picture so that a new file can keep what it was: transparency, colour profile, grey as grey.

    The numbers of a picture with a profile stay as they are, and the profile stays with them. Converting to sRGB would
    cut off the colours that only the wider space has, and round twice. A CMYK picture has to be converted, for neither
    networks nor PNG know inks: it goes through its profile, and becomes sRGB with a profile that says so.

    Camera, date, place and other such notes are not read; the camera's orientation is applied.

    Args:
        path: the file.
        content: what is in the file where it is not on this disk, such as an upload; then `path` is only a name.

    Raises:
        ImageError: as in `read`.
    """
    with _opened(path, content) as opened:
        changes = _lost(opened)
        opened.load()
        image = ImageOps.exif_transpose(opened)
    with _told_of(path):
        kept, profile, more = _kept(image)
    return Original(image=kept, profile=profile, changes=(*changes, *more))


def is_picture_name(path: str | os.PathLike[str]) -> bool:
    """Tell by its name whether a file of a folder is one of the pictures in it.

    Hidden files are not, such as the `._photo.jpg` that macOS leaves beside `photo.jpg` on other disks.
    """
    path = Path(path)
    return path.suffix.lower() in SUFFIXES and not path.name.startswith(".")


def is_grey(path: str | os.PathLike[str]) -> bool:
    """Tell whether a picture file holds a single channel of light, without colour."""
    with _opened(path) as image:
        return image.mode in ("1", "L", "LA", *_SIXTEEN_BIT)


def size(path: str | os.PathLike[str], content: bytes | None = None) -> tuple[int, int]:
    """Return width and height of a picture file as it is to be looked at, without reading its pixels."""
    with _opened(path, content) as image:
        quarter_turned = image.getexif().get(ExifTags.Base.Orientation, 1) >= 5
        return (image.height, image.width) if quarter_turned else image.size


def from_pil(image: Image.Image) -> Tensor:
    """Turn a Pillow image of any mode into a picture `(1, 3, H, W)`, float32 RGB in [0, 1]."""
    if image.mode in _SIXTEEN_BIT:
        levels = np.asarray(image).astype(np.float32)
        if levels.min() < 0 or levels.max() > 65_535:
            raise ImageError(
                f"the grey levels run from {levels.min():g} to {levels.max():g}, not within 16 bits; "
                "export the picture with 8 or 16 bits a channel."
            )
        return torch.from_numpy(levels / 65_535)[None, None].repeat(1, 3, 1, 1)
    array = np.asarray(_rgb(image))  # (H, W, 3), uint8
    return torch.from_numpy(array.copy()).permute(2, 0, 1)[None].float() / 255


def to_uint8(picture: Tensor) -> Tensor:
    """Round a picture in [0, 1] to 8 bits, halves upwards; values outside are cut off.

    Raises:
        ImageError: a value is not a number: casting would hide that as black; or the picture is not of a float type.
    """
    if not picture.is_floating_point():
        raise ImageError(
            f"the picture is of type {picture.dtype}, and the course's pictures are floats in [0, 1]; "
            "divide levels of 0 to 255 by 255 first."
        )
    if not torch.isfinite(picture).all():
        raise ImageError("the picture holds values that are not numbers (NaN or infinite); look at what made it.")
    return (picture.detach().clamp(0, 1) * 255 + 0.5).floor().to(torch.uint8)


def to_pil(picture: Tensor) -> Image.Image:
    """Turn one picture, `(1, C, H, W)` or `(C, H, W)` with C of 1 or 3, in [0, 1], into an 8-bit Pillow image.

    Raises:
        ImageError: another shape, several pictures at once, no float type, or values that are not numbers.
    """
    single = picture[0] if picture.ndim == 4 and picture.shape[0] == 1 else picture
    if single.ndim != 3 or single.shape[0] not in (1, 3) or 0 in single.shape:
        raise ImageError(
            f"a tensor of shape {tuple(picture.shape)} is not one picture; give (1, 3, H, W) or (1, 1, H, W)."
        )
    array = to_uint8(single).permute(1, 2, 0).cpu().numpy()
    return Image.fromarray(array[..., 0] if array.shape[2] == 1 else array)


def write(
    picture: Tensor | Image.Image,
    path: str | os.PathLike[str],
    *,
    quality: int | None = None,
    profile: bytes | None = None,
) -> Path:
    """Write a picture as PNG, JPEG or WebP, by the ending of the name; whole, or not at all.

    Transparency is kept where the format has it; JPEG has none, and there it is laid over white.

    Args:
        picture: `(1, 3, H, W)` or `(1, 1, H, W)` in [0, 1] (rounded to 8 bits), or a Pillow image.
        path: where to. A file that is there already is replaced once the new one is complete.
        quality: 1 to 100 for JPEG (95 unless told) and WebP (lossless unless told); PNG has none.
        profile: the ICC profile that says what the numbers mean; without one they count as sRGB.

    Raises:
        ImageError: another ending, a picture too large for the format, or a place that cannot be written.
    """
    path = Path(path)
    image = picture if isinstance(picture, Image.Image) else to_pil(picture)
    form = check_writable(path, image.size)
    options: dict[str, object] = {} if profile is None else {"icc_profile": profile}
    if form == "JPEG":
        image = image if image.mode in ("L", "RGB") else _rgb(image)
        options |= {"quality": 95 if quality is None else quality, "subsampling": 0}
    elif form == "WEBP":  # exact: with the colours of what is transparent
        options |= {"lossless": True, "exact": True} if quality is None else {"quality": quality}
    try:
        _save_beside_and_replace(image, path, form, options)
    except OSError as error:
        raise ImageError(
            f"{path}: cannot be written ({error.strerror or error}). The old file, if any, is as it was."
        ) from None
    return path


def check_writable(path: str | os.PathLike[str], size: tuple[int, int]) -> str:
    """Refuse a path that a picture of `size` (width, height) could not be written to, before any work is done.

    Returns:
        The format by the name's ending: `PNG`, `JPEG` or `WEBP`.

    Raises:
        ImageError: an ending of another kind, a missing or read-only folder, or a side too long for the format.
    """
    path = Path(path)
    form = _FORMATS.get(path.suffix.lower())
    if form is None:
        raise ImageError(f"{path}: pictures are written as .png, .jpg or .webp; give the name one of these endings.")
    if max(size) > LONGEST_SIDE[form]:
        raise ImageError(
            f"{path}: {form} holds at most {LONGEST_SIDE[form]} pixels a side, not {size[0]}x{size[1]}; write a .png."
        )
    if not path.parent.is_dir():
        raise ImageError(f"{path}: the folder {path.parent} does not exist; make it first.")
    if path.is_dir():
        raise ImageError(f"{path}: is a folder; give the name of a file.")
    if not os.access(path.parent, os.W_OK):
        raise ImageError(f"{path}: the folder {path.parent} may not be written to; choose another.")
    return form


def luma(rgb: Tensor) -> Tensor:
    """Brightness Y' of BT.601 in its studio range, as MATLAB's `rgb2ycbcr` computes it.

    Args:
        rgb: `(N, 3, H, W)` in [0, 1].

    Returns:
        `(N, 1, H, W)` in [16/255, 235/255], not rounded: black is 16, white 235 on the scale of 255.

    Source: ITU-R BT.601; the coefficients are those of MATLAB's `rgb2ycbcr`.
    """
    red, green, blue = rgb[:, 0:1], rgb[:, 1:2], rgb[:, 2:3]
    return (16 + 65.481 * red + 128.553 * green + 24.966 * blue) / 255


def rgb_to_ycbcr(rgb: Tensor) -> Tensor:
    """Luma and the two colour differences of BT.601 in their studio range, as MATLAB's `rgb2ycbcr` computes them.

    Args:
        rgb: `(N, 3, H, W)` in [0, 1].

    Returns:
        `(N, 3, H, W)`: Y' in [16/255, 235/255], then Cb and Cr in [16/255, 240/255] about 128/255; not rounded.

    Source: ITU-R BT.601; the coefficients are those of MATLAB's `rgb2ycbcr`.
    """
    red, green, blue = rgb[:, 0:1], rgb[:, 1:2], rgb[:, 2:3]
    blueness = (128 - 37.797 * red - 74.203 * green + 112.0 * blue) / 255
    redness = (128 + 112.0 * red - 93.786 * green - 18.214 * blue) / 255
    return torch.cat([luma(rgb), blueness, redness], dim=1)


def ycbcr_to_rgb(ycbcr: Tensor) -> Tensor:
    """Undo `rgb_to_ycbcr`: `(N, 3, H, W)` to RGB; colours that no screen has fall outside [0, 1]."""
    weights = torch.tensor(
        [[65.481, 128.553, 24.966], [-37.797, -74.203, 112.0], [112.0, -93.786, -18.214]], dtype=torch.float64
    )
    back = (255 * torch.linalg.inv(weights)).to(ycbcr.device, ycbcr.dtype)
    centred = ycbcr - torch.tensor([16.0, 128.0, 128.0], device=ycbcr.device, dtype=ycbcr.dtype).reshape(3, 1, 1) / 255
    return torch.einsum("rc,nchw->nrhw", back, centred)


def full_range_luma(rgb: Tensor) -> Tensor:
    """Brightness Y' of BT.601 over the whole of [0, 1], as in JPEG files: `(N, 3, H, W)` to `(N, 1, H, W)`."""
    red, green, blue = rgb[:, 0:1], rgb[:, 1:2], rgb[:, 2:3]
    return 0.299 * red + 0.587 * green + 0.114 * blue


def modcrop(picture: Tensor, scale: int) -> Tensor:
    """Cut right and bottom so that both sides of `(..., H, W)` are multiples of `scale`.

    Raises:
        ImageError: the picture is smaller than the scale, so nothing would be left.
    """
    height, width = (side - side % scale for side in picture.shape[-2:])
    if min(height, width) == 0:
        raise ImageError(
            f"{picture.shape[-1]}x{picture.shape[-2]} pixels are fewer than the scale {scale}; use a larger picture."
        )
    return picture[..., :height, :width]


def centre_crop(picture: Tensor, height: int, width: int) -> Tensor:
    """Cut `(..., H, W)` to its middle `height` by `width`; an odd remainder leaves one pixel more right and bottom."""
    top, left = (picture.shape[-2] - height) // 2, (picture.shape[-1] - width) // 2
    return picture[..., top : top + height, left : left + width]


def grid(pictures: Sequence[Tensor], columns: int | None = None, *, gap: int = 4) -> Tensor:
    """Lay pictures of one size side by side on white.

    Args:
        pictures: each `(1, 3, H, W)` in [0, 1].
        columns: how many in a row; all in one row unless told.
        gap: white pixels between two pictures.

    Returns:
        `(1, 3, rows * H + gaps, columns * W + gaps)`.

    Raises:
        ImageError: no picture, or pictures of several sizes.
    """
    if not pictures or any(one.shape != pictures[0].shape for one in pictures):
        sizes = sorted({tuple(one.shape) for one in pictures})
        raise ImageError(f"a grid takes one or more pictures of one size, not {sizes}; crop or resize them first.")
    columns = columns or len(pictures)
    rows = -(-len(pictures) // columns)
    _, channels, height, width = pictures[0].shape
    sheet = pictures[0].new_ones(1, channels, rows * (height + gap) - gap, columns * (width + gap) - gap)
    for index, one in enumerate(pictures):
        top, left = (index // columns) * (height + gap), (index % columns) * (width + gap)
        sheet[:, :, top : top + height, left : left + width] = one
    return sheet


@contextmanager
def _opened(path: str | os.PathLike[str], content: bytes | None = None) -> Iterator[Image.Image]:
    """Open a picture for a while, and say in a sentence what is wrong with it."""
    try:
        with warnings.catch_warnings():
            # Pillow warns from 89 megapixels on; the course reads those and refuses only what Pillow refuses.
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with Image.open(path if content is None else io.BytesIO(content)) as image:
                yield image
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        empty = Path(path).is_file() and Path(path).stat().st_size == 0 if content is None else not content
        raise _unreadable(Path(path), error, empty=empty) from None


def _open(path: str | os.PathLike[str]) -> Image.Image:
    with _opened(path) as image:
        image.load()
        return ImageOps.exif_transpose(image)


@contextmanager
def _told_of(path: str | os.PathLike[str]) -> Iterator[None]:
    """Name the file, where what is wrong shows only once its pixels are looked at."""
    try:
        yield
    except ImageError as error:
        raise ImageError(f"{path}: {error}") from None


def _unreadable(path: Path, error: Exception, *, empty: bool) -> ImageError:
    if isinstance(error, FileNotFoundError):
        return ImageError(f"{path}: there is no such file. Check the name and the folder.")
    if path.is_dir():
        return ImageError(f"{path}: is a folder, not a picture. Name one file in it.")
    if isinstance(error, PermissionError):
        return ImageError(f"{path}: may not be read. Change its permissions or copy it.")
    if isinstance(error, Image.DecompressionBombError):
        return ImageError(f"{path}: more than 179 megapixels. Crop or shrink it first.")
    if empty:
        return ImageError(f"{path}: the file is empty. Download or export it again.")
    if isinstance(error, UnidentifiedImageError):
        return ImageError(
            f"{path}: not a picture that can be read. If it is a HEIC, RAW or PSD file, export a PNG first."
        )
    return ImageError(f"{path}: the picture is damaged or cut short ({error}). Download or export it again.")


def _rgb(image: Image.Image) -> Image.Image:
    """Any mode to 8-bit RGB, transparency over white."""
    if image.mode in _SIXTEEN_BIT:
        return to_pil(from_pil(image))
    if image.mode == "F":
        raise ImageError(
            "floating-point pictures have no agreed range; export the picture with 8 or 16 bits a channel."
        )
    if image.mode == "CMYK":
        return _through_profile(image) or image.convert("RGB")
    if _has_alpha(image):
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, "white")
        return Image.alpha_composite(white, image).convert("RGB")
    return image.convert("RGB")


def _has_alpha(image: Image.Image) -> bool:
    return image.mode in _WITH_ALPHA or "transparency" in image.info


def _through_profile(image: Image.Image) -> Image.Image | None:
    """A CMYK picture in sRGB, by its profile; None where it has none that can be used."""
    content = image.info.get("icc_profile")
    if not content or _colour_space(content) != "CMYK":
        return None
    profile = ImageCms.ImageCmsProfile(io.BytesIO(content))
    try:
        return ImageCms.profileToProfile(image, profile, ImageCms.createProfile("sRGB"), outputMode="RGB")
    except (ImageCms.PyCMSError, OSError):
        return None


def _colour_space(profile: bytes) -> str:
    """Return which numbers an ICC profile is for, such as `RGB`, `GRAY` or `CMYK`; nothing where it is damaged."""
    try:
        return ImageCms.ImageCmsProfile(io.BytesIO(profile)).profile.xcolor_space.strip()
    except (ImageCms.PyCMSError, OSError):
        return ""


def _lost(opened: Image.Image) -> list[str]:
    """Say what Pillow will leave behind of a file that it has opened but not read."""
    said = []
    frames = getattr(opened, "n_frames", 1)
    if frames > 1 and opened.format != "MPO":  # with phones that is one photograph, and a second for the depth
        said.append(f"Of its {frames} pictures, the first was taken.")
    if opened.mode in _SIXTEEN_BIT or any(";16" in str(tile[3]) for tile in getattr(opened, "tile", [])):
        said.append("Its 16 bits a channel became 8.")
    return said


def _kept(image: Image.Image) -> tuple[Image.Image, bytes | None, list[str]]:
    """A picture in one of the modes of `Original`, the profile that fits it, and what was changed."""
    if image.mode == "CMYK":
        converted = _through_profile(image)
        if converted is None:
            said = "It is made of inks (CMYK) without a usable profile; its colours were guessed, and are sRGB now."
            return image.convert("RGB"), None, [said]
        srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
        return converted, srgb, ["It is made of inks (CMYK); by its profile they became sRGB."]
    profile: bytes | None = image.info.get("icc_profile") or None
    space = _colour_space(profile) if profile else ""
    if image.mode in _SIXTEEN_BIT:
        image = to_pil(from_pil(image)[:, :1])
    elif _has_alpha(image):
        image = image.convert("LA" if image.mode in ("1", "L", "LA", "La") else "RGBA")
    elif image.mode in ("1", "L"):
        image = image.convert("L")
    else:
        image = _rgb(image)
    grey = image.mode in ("L", "LA")
    if profile and grey and space == "RGB":  # no file of grey may have it; of equal red, green and blue it is true
        image = image.convert("RGB" if image.mode == "L" else "RGBA")
    elif profile and space != ("GRAY" if grey else "RGB"):
        return image, None, ["Its colour profile is damaged or of another kind of picture, and was left out."]
    return image, profile, []


def _save_beside_and_replace(image: Image.Image, path: Path, form: str, options: dict[str, object]) -> None:
    part = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
    try:
        with part.open("xb") as file:
            image.save(file, form, **options)
        part.replace(path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise
