"""`sr-course train`: a recipe by name, any of its values overridden, a run that can be left and resumed."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Sequence
from dataclasses import Field, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sr_course.data.shipped import SHIPPED
from sr_course.errors import TrainingError
from sr_course.training.networks import NETWORKS, AdversaryOptions, NetworkOptions, PerceptualOptions
from sr_course.training.recipe import CHOICES, SIZES, Recipe

if TYPE_CHECKING:
    from sr_course.losses import Term
    from sr_course.training.loop import Outcome

    Verbs = argparse._SubParsersAction[argparse.ArgumentParser]

_GIVEN_OTHERWISE = ("name", "network", "perceptual", "adversary")  # by --recipe, and by values of their own

Options = type[Recipe] | type[NetworkOptions] | type[PerceptualOptions] | type[AdversaryOptions]


def add_verb(verbs: Verbs) -> None:
    """Add `train` to the verbs of the command line; torch is loaded only when it runs."""
    verb = verbs.add_parser("train", help="train a network by a recipe")
    models = verb.add_subparsers(title="networks", dest="model", required=True, metavar="MODEL")
    for name, options in NETWORKS.items():
        one = models.add_parser(
            name,
            help=f"`sr-course train {name} --help` lists what can be set",
            description="Train a network by a recipe, any value of which can be given another. Lists are written "
            "9,5,5; terms of the loss, with their weights, l1=1,mse=0.5.",
            allow_abbrev=False,
        )
        one.add_argument("--recipe", choices=SIZES, help="the size of the run; laptop unless told")
        one.add_argument("--out", type=Path, metavar="RUN", help="the run's folder; runs/MODEL-RECIPE unless told")
        one.add_argument("--resume", action="store_true", help="go on from the last checkpoint in RUN")
        one.add_argument("--max-minutes", type=_minutes, metavar="M", help="stop after M minutes, with a checkpoint")
        one.add_argument("--tensorboard", action="store_true", help="write TensorBoard's files too")
        one.add_argument("--quiet", action="store_true", help="print neither the recipe nor a bar")
        _add_values(one.add_argument_group("values of the recipe"), Recipe, "recipe_")
        _add_values(one.add_argument_group("values of the network"), options, "network_")
        _add_values(one.add_argument_group("values of the term perceptual"), PerceptualOptions, "perceptual_")
        if name == options.adversarial_model:
            _add_values(one.add_argument_group("values of the discriminator"), AdversaryOptions, "adversary_")
        one.set_defaults(run=run, model=name)


def run(arguments: argparse.Namespace) -> int:
    """Train as the parsed arguments say, and return the exit status: 0, or 128 and the number of a signal."""
    import signal

    from sr_course.training.loop import train

    out = arguments.out or Path("runs") / f"{arguments.model}-{arguments.recipe or 'laptop'}"
    recipe = _recipe(arguments, out)
    if not arguments.quiet and os.environ.get("RANK", "0") == "0":
        print(f"{recipe}\n  {'run':22}{out}", flush=True)
    outcome = train(
        recipe,
        out,
        resume=arguments.resume,
        max_minutes=arguments.max_minutes,
        bar=not arguments.quiet,
        tensorboard=arguments.tensorboard,
    )
    if outcome.is_main:
        print(_ending(outcome, recipe, out), flush=True)
    return 128 + signal.Signals[outcome.stopped_by] if outcome.stopped_by.startswith("SIG") else 0


def _ending(outcome: Outcome, recipe: Recipe, out: Path) -> str:
    done = f"step {outcome.step} of {recipe.steps}, {outcome.minutes:.1f} minutes"
    if not outcome.stopped_by:
        return f"Trained: {done}; the weights are in {out}."
    reason = "The time is up" if outcome.stopped_by == "time" else f"Stopped by {outcome.stopped_by}"
    return f"{reason}: {done}, saved in {out}. Add --resume to go on."


def _recipe(arguments: argparse.Namespace, out: Path) -> Recipe:
    """The recipe asked for; for a run that is resumed, its own, which the arguments must not contradict."""
    from sr_course.training.loop import read_recipe
    from sr_course.training.recipes import recipe

    def changed(one: Recipe) -> Recipe:
        parts = {part: replace(getattr(one, part), **_given(arguments, f"{part}_")) for part in _PARTS}
        return replace(one, **parts, **_given(arguments, "recipe_"))

    if not (arguments.resume and (out / "recipe.json").is_file()):
        wanted = changed(recipe(arguments.model, arguments.recipe or "laptop"))
        if wanted.model != arguments.model:
            raise TrainingError(
                f"with these losses it is {wanted.model} that is trained, not {arguments.model}: the term adversarial "
                f"decides. Call `sr-course train {wanted.model}`, or give other losses."
            )
        return wanted
    stored = read_recipe(out)
    if arguments.recipe and (stored.model, stored.name) != (arguments.model, arguments.recipe):
        raise TrainingError(f"{out}: this run is of {stored.model}, {stored.name}. Resume it as that.")
    if stored.model != arguments.model:
        raise TrainingError(f"{out}: this run is of {stored.model}. Resume it as that.")
    if changed(stored) != stored:
        given = [option for prefix in _PREFIXES for option in _options(arguments, prefix)]
        raise TrainingError(
            f"{out}: a run goes on as it began. Resume it without {', '.join(given)}, or give another --out."
        )
    return stored


_PARTS = ("network", "perceptual", "adversary")
_PREFIXES = {"recipe_": "", "network_": "", "perceptual_": "perceptual-", "adversary_": "discriminator-"}
"""How a value is kept among the arguments, by what it belongs to, and how its option begins after the two dashes."""


def _given(arguments: argparse.Namespace, prefix: str) -> dict[str, Any]:
    return {name.removeprefix(prefix): value for name, value in vars(arguments).items() if name.startswith(prefix)}


def _options(arguments: argparse.Namespace, prefix: str) -> list[str]:
    return [_option(prefix, name) for name in _given(arguments, prefix)]


def _option(prefix: str, name: str) -> str:
    return f"--{_PREFIXES[prefix]}{name.replace('_', '-')}"


def _add_values(group: argparse._ArgumentGroup, options: Options, prefix: str) -> None:
    known = CHOICES if prefix == "recipe_" else getattr(options, "choices", {})
    for field in fields(options):
        if prefix == "recipe_" and field.name in _GIVEN_OTHERWISE:
            continue
        choices = known.get(field.name)
        group.add_argument(
            _option(prefix, field.name),
            dest=prefix + field.name,
            type=_parser(field, choices),
            choices=choices,
            default=argparse.SUPPRESS,  # only what was given is overridden
            metavar=None if choices else "VALUE",
        )


def _parser(field: Field[Any], choices: Sequence[str] | None) -> Callable[[str], Any]:
    if choices:
        return str
    return _NAMED_PARSERS.get(field.name) or _PARSERS[str(field.type)]


def _pictures(text: str) -> str:
    return text if text == SHIPPED else str(Path(text).absolute())  # so that a run is resumed from any folder


def _start(text: str) -> str:
    return (
        str(Path(text).absolute()) if text and Path(text).is_dir() else text
    )  # the folder of a run, or a name from the zoo


_NAMED_PARSERS: dict[str, Callable[[str], Any]] = {"data": _pictures, "validation": _pictures, "start": _start}


def _minutes(text: str) -> float:
    minutes = float(text)
    if not minutes > 0:
        raise argparse.ArgumentTypeError(f"{text} is not a number of minutes above 0")
    return minutes


def _truth(text: str) -> bool:
    known = {"true": True, "yes": True, "false": False, "no": False}
    if text.lower() not in known:
        raise argparse.ArgumentTypeError(f"{text} is not one of {', '.join(known)}")
    return known[text.lower()]


def _whole_numbers(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(part) for part in text.split(",") if part)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text} is not whole numbers with commas between, such as 9,5,5") from None


def _numbers(text: str) -> tuple[float, ...]:
    try:
        return tuple(float(part) for part in text.split(",") if part)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text} is not numbers with commas between, such as 0.9,0.999") from None


def _factors(text: str) -> tuple[tuple[str, float], ...]:
    try:
        pairs = [part.split("=") for part in text.split(",") if part]
        return tuple((name, float(factor)) for name, factor in pairs)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text} is not factors by name, such as conv3.=0.1") from None


def _terms(text: str) -> tuple[Term, ...]:
    from sr_course.losses import Term

    try:
        parts = [part.partition("=") for part in text.split(",") if part]
        return tuple(Term(name, float(weight or 1)) for name, _, weight in parts)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text} is not terms with their weights, such as l1=1,mse=0.5") from None


_PARSERS: dict[str, Callable[[str], Any]] = {
    "str": str,
    "int": int,
    "float": float,
    "bool": _truth,
    "tuple[int, ...]": _whole_numbers,
    "tuple[float, ...]": _numbers,
    "tuple[tuple[str, float], ...]": _factors,
    "tuple[Term, ...]": _terms,
}
"""How a value is read from the command line, by the type that its field is declared with."""
