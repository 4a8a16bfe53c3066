"""Every config refuses what is no number of its kind: found by walking the library, so that a new field is covered."""

import dataclasses
import importlib
import inspect
import pkgutil
import types
import typing

import pytest

import jaxgen
from jaxgen import autoencoder, ddpm, gan, optimizers, require, vae
from jaxgen.core import Spec

# Configs that cannot be made without an argument.
ARGUMENTS = {ddpm.Betas: {"beta": (0.1, 0.2)}, Spec: {"event_shape": (2,)}}

FLOATS = (float("nan"), float("inf"), -float("inf"), True, "1", None, 1e300, 10**400)
INTEGERS = (2.5, 2.0, True, "1", None, float("nan"), 2**70)


def configs() -> dict[str, type]:
    """Frozen dataclasses that can be made without arguments, in all modules."""
    found = {}
    for module in pkgutil.walk_packages(jaxgen.__path__, "jaxgen."):
        if module.name.endswith("__main__"):
            continue
        for name, kind in vars(importlib.import_module(module.name)).items():
            here = isinstance(kind, type) and kind.__module__ == module.name and not name.startswith("_")
            if not here or not dataclasses.is_dataclass(kind) or not vars(kind)["__dataclass_params__"].frozen:
                continue
            whole = all(
                f.default is not dataclasses.MISSING or f.default_factory is not dataclasses.MISSING
                for f in dataclasses.fields(kind)
            )
            if (whole or kind in ARGUMENTS) and not getattr(kind, "__abstractmethods__", None):
                found[f"{module.name}.{name}"] = kind
    return found


CONFIGS = configs()


def options(annotation: object) -> tuple[object, ...]:
    union = typing.get_origin(annotation) in (types.UnionType, typing.Union)
    return typing.get_args(annotation) if union else (annotation,)


def refused(annotation: object) -> list[object]:
    """Values that a field of this annotation must not take."""
    allowed = options(annotation)
    if float in allowed:
        values = list(FLOATS)
    elif int in allowed:
        values = list(INTEGERS)
    elif allowed == (bool,):
        values = [0, 1.0, "yes", None]
    elif typing.get_origin(annotation) is tuple:
        values = [7, "12", None, *((value,) for value in refused(typing.get_args(annotation)[0]))]
    elif any(dataclasses.is_dataclass(option) for option in allowed):
        values = ["adam", 3, None, True, next(option for option in allowed if dataclasses.is_dataclass(option))]
    elif allowed == (str,):
        values = [3, None]
    else:
        values = []
    return [value for value in values if not (value is None and type(None) in allowed)]


def made(kind: type, **values: object) -> object:
    """What `kind(**values)` is without the type checks that the import hook adds to it in tests."""
    config = object.__new__(kind)
    for field in dataclasses.fields(kind):
        default = field.default if field.default is not dataclasses.MISSING else ARGUMENTS.get(kind, {}).get(field.name)
        object.__setattr__(config, field.name, values.get(field.name, default))
    if hasattr(kind, "__post_init__"):
        config.__post_init__()
    return config


def cases() -> list[object]:
    found = []
    for name, kind in CONFIGS.items():
        hints = typing.get_type_hints(kind)
        for field in dataclasses.fields(kind):
            values = refused(hints[field.name])
            if values:
                found.append(pytest.param(kind, field.name, values, id=f"{name.removeprefix('jaxgen.')}.{field.name}"))
    return found


def test_the_walk_finds_the_configs():
    kinds = set(CONFIGS.values())
    assert {
        vae.Config,
        gan.Config,
        ddpm.Config,
        autoencoder.Config,
        optimizers.Adam,
        ddpm.UNet,
        gan.ZeroCentred,
    } <= kinds
    assert sum(name.startswith("jaxgen.experiments") for name in CONFIGS) >= 12


@pytest.mark.parametrize(("kind", "field", "values"), cases())
def test_a_field_of_another_kind_is_refused_by_name(kind, field, values):
    made(kind)
    for value in values:
        with pytest.raises(ValueError, match=field):
            made(kind, **{field: value})


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: made(optimizers.Adam, tiny=-1), "tiny must be a finite number above 0, got -1"),
        (lambda: made(optimizers.Adam, tiny=0.0), "tiny must be a finite number above 0, got 0.0"),
        (
            lambda: made(optimizers.Adam, learning_rate=1e-60),
            "learning_rate must be a finite number above 0",
        ),
        (lambda: made(optimizers.Adam, b2=1 - 1e-12), "b2 must be a finite number at least 0 and below 1"),
        (lambda: made(optimizers.Cosine, final=-1), "final must be a finite number at least 0 and at most 1, got -1"),
        (
            lambda: made(optimizers.Cosine, decay_steps=10, warmup_steps=1.5),
            r"warmup_steps must be an integer",
        ),
        (lambda: made(gan.ZeroCentred, r1=-1.0), "r1 must be a finite number at least 0"),
        (lambda: made(ddpm.Betas, beta=(1e-4, float("nan"))), r"beta\[1\] must be a finite number, got nan"),
        (lambda: made(ddpm.Betas, beta=()), "beta must hold at least one"),
        (lambda: made(ddpm.DPMSolver, order=3), "order must be 1 or 2, got 3"),
        (lambda: inspect.unwrap(ddpm.schedule.uniform_timesteps)(10, 2.5), "num must be an integer"),
        (lambda: made(vae.Config, hidden=(2.5,)), r"hidden must hold integers of at least 1, got \(2\.5,\)"),
        (lambda: made(vae.Config, features=(12,)), r"features must hold multiples of 8 of at least 8, got \(12,\)"),
        (lambda: made(vae.Config, warmup_steps=2**31), "warmup_steps must be an integer of at most 2147483647"),
        (lambda: made(Spec, event_shape=(2.5,)), "event_shape must hold integers"),
        (lambda: made(Spec, event_shape=(2,), dtype="uint8", levels=True), "levels must be an integer"),
    ],
)
def test_ranges_are_what_the_message_says(make, message):
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize("value", [2**32, -1, 1.0, True])
def test_a_seed_that_would_equal_another_is_refused(value):
    from jaxgen.experiments.digits_vae import Config

    with pytest.raises(ValueError, match=r"seed must be an integer in 0\.\.4294967295"):
        made(Config, seed=value)
    assert Config(seed=2**32 - 1).seed == require.UINT32_MAX


def test_a_class_of_the_users_own_may_stand_in_the_place_of_a_choice():
    class Likelihood(vae.Normal):
        pass

    class Loose:
        """Keeps the protocol without being one of the library's."""

    assert isinstance(vae.Config(likelihood=Likelihood()).likelihood, Likelihood)
    require.fields(dataclasses.make_dataclass("Config", [("likelihood", vae.Normal | vae.Bernoulli)])(Loose()))
