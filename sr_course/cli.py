"""The command line: the verbs of the package, `sr-course VERB --help` for each.

Each verb is one function that takes the parsed arguments and returns the exit status. An error meant for people
(`CourseError`) is printed as one line and gives status 2, as wrong usage does.
"""

from __future__ import annotations

import argparse
import errno
import io
import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from sr_course import __version__
from sr_course.errors import CourseError
from sr_course.training import command as training

if TYPE_CHECKING:
    from sr_course.data.catalog import Entry

    Verbs = argparse._SubParsersAction[argparse.ArgumentParser]


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of `sr-course`, with every verb."""
    parser = argparse.ArgumentParser(prog="sr-course", description="Image super-resolution: course and reference code.")
    parser.add_argument("--version", action="version", version=f"sr-course {__version__}")
    verbs = parser.add_subparsers(title="verbs", dest="verb", required=True, metavar="VERB")
    _add_lab(verbs)
    _add_doctor(verbs)
    _add_evaluate(verbs)
    _add_upscale(verbs)
    _add_data(verbs)
    training.add_verb(verbs)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run one verb and return its exit status: 0 done, 1 found wanting (`doctor`, `verify`), 2 could not be done."""
    if isinstance(sys.stdout, io.TextIOWrapper):  # letters that the terminal does not have are no reason to stop
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        try:
            return _run(argv)
        finally:
            sys.stdout.flush()  # here, where what goes wrong can still be said in a sentence
    except CourseError as error:
        print(f"sr-course: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("sr-course: stopped.", file=sys.stderr)
        return 130
    except BrokenPipeError:  # whoever read the output has seen enough, such as `head`
        _discard_output()
        return 128 + 13  # what a shell says of a program that SIGPIPE has ended
    except OSError as error:
        if not error.filename and error.errno != errno.ENOSPC:
            raise
        if not error.filename:
            _discard_output()
        print(f"sr-course: {error.filename or 'writing failed'}: {error.strerror}.", file=sys.stderr)
        return 2


def _run(argv: Sequence[str] | None) -> int:
    parser = build_parser()
    arguments, unknown = parser.parse_known_args(argv)
    if arguments.verb == "lab":
        arguments.options = unknown  # JupyterLab knows them
    elif unknown:
        parser.error(f"unrecognized arguments: {' '.join(unknown)}")
    status: int = arguments.run(arguments)
    return status


def _discard_output() -> None:
    """Let what is still to be written go nowhere, so that Python does not complain at its end."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text} is not a whole number from 1 on")
    return number


def _add_lab(verbs: Verbs) -> None:
    about = "Open the lessons in JupyterLab. Other options are passed on to it, such as --no-browser or --port=8890."
    verb = verbs.add_parser("lab", help="open the lessons in JupyterLab", description=about)
    verb.set_defaults(run=_lab)


def _lab(arguments: argparse.Namespace) -> int:
    from sr_course.lab import open_lab

    return open_lab(arguments.options)


def _add_doctor(verbs: Verbs) -> None:
    verb = verbs.add_parser("doctor", help="say what this machine has for the course, and what is missing")
    verb.set_defaults(run=_doctor)


def _doctor(_: argparse.Namespace) -> int:
    from sr_course.doctor import examine

    healthy = True
    for finding in examine():
        print(finding)
        healthy = healthy and finding.ok
    return 0 if healthy else 1


def _add_evaluate(verbs: Verbs) -> None:
    verb = verbs.add_parser("evaluate", help="PSNR and SSIM of a method over a folder of pictures")
    verb.add_argument("model", metavar="MODEL", help="a method of the course, such as bicubic")
    verb.add_argument(
        "--data", metavar="DIR", help="folder with the HR pictures; the course's test photographs unless given"
    )
    verb.add_argument("--scale", type=_positive, default=4, metavar="N", help="factor of enlargement (4)")
    verb.add_argument(
        "--protocol", metavar="NAME", help="how to measure; unless given, as the method's figures were published"
    )
    _add_self_ensemble(verb)
    verb.add_argument("--json", action="store_true", help="print one JSON object instead of a table")
    verb.set_defaults(run=_evaluate)


def _evaluate(arguments: argparse.Namespace) -> int:
    from sr_course.evaluation import evaluate, shipped_pairs
    from sr_course.metrics import named_protocol

    protocol = named_protocol(arguments.protocol) if arguments.protocol is not None else None
    if arguments.data is None:
        data, name = shipped_pairs(), "the course's test photographs"
    elif arguments.data.strip():
        data, name = arguments.data, None
    else:
        raise CourseError("--data is empty; name a folder, or leave --data out for the course's test photographs.")
    table = evaluate(
        arguments.model,
        data,
        scale=arguments.scale,
        protocol=protocol,
        name=name,
        self_ensemble=arguments.self_ensemble,
    )
    print(table.to_json() if arguments.json else table.to_text())
    return 0


def _add_upscale(verbs: Verbs) -> None:
    verb = verbs.add_parser("upscale", help="enlarge a photograph of any size")
    verb.add_argument("photo", metavar="PHOTO", help="the picture to enlarge")
    verb.add_argument("out", metavar="OUT", help="where to write it: a name ending in .png, .jpg or .webp")
    verb.add_argument("--model", default="bicubic", metavar="MODEL", help="a method, or a run's folder (bicubic)")
    verb.add_argument("--scale", type=_positive, default=4, metavar="N", help="factor of enlargement (4)")
    verb.add_argument(
        "--tile",
        type=_positive,
        metavar="PIXELS",
        help="side of a tile of the source (256, or less for memory)",
    )
    verb.add_argument("--blend", metavar="OTHER", help="mix the weights of MODEL with those of another, of one form")
    verb.add_argument("--alpha", type=float, metavar="A", help="share of OTHER in the mixture, from 0 to 1 (0.5)")
    _add_self_ensemble(verb)
    verb.set_defaults(run=_upscale)


def _upscale(arguments: argparse.Namespace) -> int:
    from sr_course.evaluation import find_network
    from sr_course.models.blend import SelfEnsemble, blend
    from sr_course.upscaling import upscale_file

    if arguments.alpha is not None and arguments.blend is None:
        raise CourseError("--alpha is the share of another model; name it, as in --blend srgan --alpha 0.3.")
    found = find_network(arguments.model, arguments.scale)
    network, overlap = found.network, found.overlap
    if arguments.blend is not None:
        other = find_network(arguments.blend, arguments.scale)
        network = blend(network, other.network, 0.5 if arguments.alpha is None else arguments.alpha)
        overlap = None if overlap is None or other.overlap is None else max(overlap, other.overlap)
    if arguments.self_ensemble:
        network = SelfEnsemble(network)
    enlarged = upscale_file(
        network, arguments.photo, arguments.out, arguments.scale, tile=arguments.tile, overlap=overlap, bar=True
    )
    print(f"{arguments.out}: {enlarged.size[0]}x{enlarged.size[1]}")
    for change in enlarged.changes:
        print(change)
    return 0


def _add_self_ensemble(verb: argparse.ArgumentParser) -> None:
    about = "mean over the picture flipped and turned in eight ways: a little better, eight times as long"
    verb.add_argument("--self-ensemble", action="store_true", help=about)


def _add_data(verbs: Verbs) -> None:
    data = verbs.add_parser("data", help="list, fetch and check the data sets of the catalog")
    data.add_argument("--catalog", metavar="FILE", help="another catalog than the course's, such as one with a mirror")
    actions = data.add_subparsers(title="actions", dest="action", required=True, metavar="ACTION")
    listing = actions.add_parser("list", help="all data sets: size, whether they are here, terms")
    listing.set_defaults(run=_data_list)
    for name, run, text in (
        ("get", _data_get, "fetch a data set, checked, resuming what was begun; say where it is"),
        ("verify", _data_verify, "check every file of a data set: ok, missing or damaged"),
        ("path", _data_path, "say where a data set is"),
    ):
        action = actions.add_parser(name, help=text)
        action.add_argument("name", metavar="NAME", help="a name from `sr-course data list`")
        action.set_defaults(run=run)


def _data_entry(arguments: argparse.Namespace) -> Entry:
    from sr_course.data.catalog import find_entry, load_catalog

    return find_entry(load_catalog(arguments.catalog), arguments.name)


def _data_list(arguments: argparse.Namespace) -> int:
    from sr_course.data.cache import cache_folder, human_size
    from sr_course.data.catalog import load_catalog
    from sr_course.data.fetch import is_here

    for entry in load_catalog(arguments.catalog).values():
        size = human_size(entry.size) if entry.size else "size unknown"
        print(f"{entry.name:18} {size:>12}  {'here' if is_here(entry) else '-':4}  {entry.title}")
        print(f"{'':38}  {entry.licence}")
    print(f"Kept in {cache_folder()}; set SR_COURSE_DATA to keep them elsewhere.")
    return 0


def _data_get(arguments: argparse.Namespace) -> int:
    from sr_course.data.fetch import get

    entry = _data_entry(arguments)
    folder = get(entry)
    print(f"{entry.title}\nLicence: {entry.licence}\nPlease cite: {entry.citation}")
    if entry.checksum is None:
        print("No checksum is published for it: only what the archive says of itself could be checked.")
    print(folder)
    return 0


def _data_verify(arguments: argparse.Namespace) -> int:
    from sr_course.data.fetch import verify

    finding = verify(_data_entry(arguments))
    print(f"{arguments.name}: {finding.state}: {finding.detail}")
    return 0 if finding.state == "ok" else 1


def _data_path(arguments: argparse.Namespace) -> int:
    from sr_course.data.fetch import path_of

    print(path_of(_data_entry(arguments)))
    return 0
