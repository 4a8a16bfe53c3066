"""Text to image on the digits that scikit-learn carries: what is given, what is refused, scenes scored cell by cell."""

import dataclasses

import jax
import numpy as np
import pytest

from jaxgen import ddpm, flow, nn, runs
from jaxgen.data import captions
from jaxgen.data.captions import Caption, Thing
from jaxgen.data.scenes import thing_number
from jaxgen.experiments import _captions, text_to_image, text_to_image_flow

TINY = text_to_image.Config(
    scenes=40,
    tested=8,
    guidance=(1.0, 2.0),
    classifier_steps=2,
    sampler=ddpm.DPMSolver(2),
    model=dataclasses.replace(
        text_to_image.Config.model, network=ddpm.MLP((8,), time_features=4), schedule=ddpm.Cosine(4), num_draws=2
    ),
    steps=2,
    batch_size=8,
)
NAMES = TINY.names


@pytest.fixture(scope="module")
def dataset():
    return TINY.dataset()


@pytest.fixture(scope="module")
def sampled(dataset):
    model = TINY.model_for(dataset.spec)
    return model, model.init(jax.random.key(0), dataset.train.batches(seed=0, batch_size=8)(0)).variables


def test_what_is_given_and_what_is_modelled(dataset):
    assert dataset.spec.event_shape == (32, 32, 1) and dataset.spec.levels == 256
    field = dataset.spec.fields["caption"]
    assert (field.shape, field.num_values) == ((captions.LENGTH,), TINY.vocabulary.num_values)
    said, real = TINY.drawn(0, 40, "train")
    np.testing.assert_array_equal(dataset.train.x, real.x)
    assert TINY.vocabulary.text(dataset.train.fields["caption"][3]) == str(said[3])
    assert [str(caption) for caption in TINY.drawn(0, 9, "train")[0]] == [str(caption) for caption in said[:9]]


def test_pairs_that_are_held_out_are_in_the_scenes_that_are_unseen_alone():
    pairs = TINY.pairs()
    assert len(pairs) == round(0.1 * 55)

    def met(said):
        return [
            any(frozenset((a.name, b.name)) in pairs for i, a in enumerate(caption.things) for b in caption.things[:i])
            for caption in said
        ]

    kinds = TINY.kinds()
    assert not any(met(TINY.drawn(0, 40, "train")[0])) and not any(met(kinds["seen"][0]))
    assert all(met(kinds["unseen"][0]))
    assert {len(caption.things) for caption in kinds["alone"][0]} == {1}


def test_real_scenes_are_right_by_a_judge_that_sees_all():
    for said, real in TINY.kinds().values():
        for name, shares in _captions.judged(said, real.cells, NAMES).items():
            assert (shares == 1).all(), name


def test_every_kind_of_mistake_is_counted_where_it_belongs():
    said = [Caption((Thing("seven", "small"), Thing("two")), ("left of",))]
    seven, two, large = (
        thing_number(NAMES, *thing) for thing in (("seven", "small"), ("two", "large"), ("seven", "large"))
    )
    for grid, expected in {
        ((0, 0), (seven, two)): {
            "layout": 1,
            "things": 1,
            "class": 1,
            "size": 1,
            "relation": 1,
            "slots": 1,
            "scene": 1,
        },
        ((0, 0), (large, two)): {"things": 0.5, "class": 1, "size": 0, "relation": 1, "slots": 0.75, "scene": 0},
        ((0, 0), (two, seven)): {"layout": 1, "things": 0, "class": 0, "relation": 0, "slots": 0.5, "scene": 0},
        ((seven, 0), (two, 0)): {"layout": 0, "things": 0.5, "relation": 0, "slots": 0.5, "scene": 0},
        ((seven, two), (two, 0)): {"layout": 0, "things": 1, "relation": 1, "slots": 0.75, "scene": 0},
        ((0, 0), (0, 0)): {"things": 0, "class": 0, "size": 0, "relation": 0, "slots": 0.5, "scene": 0},
    }.items():
        found = _captions.judged(said, np.array([grid]), NAMES)
        assert {name: found[name].tolist() for name in expected} == {k: [v] for k, v in expected.items()}, grid
    alone = _captions.judged([Caption((Thing("two"),))], np.array([[[0, 0], [0, two]]]), NAMES)
    assert alone["scene"].tolist() == [1] and "size" not in alone and "relation" not in alone


def test_a_caption_of_the_users_own(sampled):
    model, variables = sampled
    given = {"caption": TINY.tokens("a seven left of a small two")}
    x = model.sample(jax.random.key(0), variables, 2, condition=given, sampler=TINY.sampler, guidance=2.0)
    assert x.shape == (2, 32, 32, 1) and (x[0] != x[1]).any()
    with pytest.raises(ValueError, match="must be made of known words, got 'sven'; did you mean 'seven'"):
        TINY.tokens("a sven")


def test_conditions_are_refused_by_name(sampled):
    model, variables = sampled
    tokens = TINY.tokens("a seven")
    for condition, message in (
        ({"caption": tokens[:4]}, r"condition\['caption'\]"),
        ({"caption": tokens + 99}, r"condition\['caption'\]"),
        ({"caption": np.float32(tokens)}, r"condition\['caption'\] must be int32, got float32"),
        ({"text": tokens}, "'text'"),
    ):
        with pytest.raises(ValueError, match=message):
            model.sample(jax.random.key(0), variables, 2, condition=condition)


def test_names_are_those_of_the_sets_of_images():
    both = text_to_image.Config(data=("mnist", "fashion_mnist"))
    assert both.names[:2] == ("zero", "one") and "coat" in both.names and len(both.names) == 16
    assert str(both.vocabulary.text(both.tokens("a seven left of a small coat"))) == "a seven left of a small coat"


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"data": ("minst",)}, "data must be digits or mnist or fashion_mnist, got 'minst'; did you mean 'mnist'"),
        ({"data": ()}, "data must name sets of different things, one at least, got"),
        ({"data": ("digits", "mnist")}, "data must name sets of different things, one at least, got"),
        ({"held_out": 0.0}, "held_out must be a finite number above 0 and below 1, got 0.0"),
        ({"held_out": 0.001}, "held_out must leave out one pair of 10 things at least, got 0.001"),
        ({"guidance": ()}, "guidance must hold at least one weight, got none"),
        ({"guidance": (1.0, -1.0)}, r"guidance\[1\] must be a finite number at least 0, got -1.0"),
        ({"tested": 1}, "tested must be an integer of at least 2, got 1"),
    ],
)
def test_settings_that_cannot_be(fields, message):
    with pytest.raises(ValueError, match=message):
        text_to_image.Config(**fields)


def test_the_text_is_encoded_where_the_network_attends():
    condition = text_to_image.Config.model.conditions["caption"]
    assert isinstance(condition, nn.CrossAttend)
    assert condition.encoder == nn.Transformer() and condition.padding == captions.PADDING and condition.dropout > 0


@pytest.mark.slow
def test_from_training_to_the_pictures(tmp_path):
    found = runs.train(TINY, tmp_path, progress=False).results["test"]
    for kind in ("alone", "seen", "unseen"):
        for of in ("real", "guidance_1", "guidance_2"):
            assert {f"{kind}/{of}/{name}" for name in ("things", "class", "slots", "scene")} <= found.keys()
    assert "seen/real/relation" in found and "alone/real/relation" not in found
    assert (tmp_path / "pictures" / "unseen.png").exists()


@pytest.mark.slow
def test_flow_matching_in_place_of_the_chain(tmp_path):
    config = text_to_image_flow.Config(
        **{
            field.name: getattr(TINY, field.name)
            for field in dataclasses.fields(TINY)
            if field.name not in ("model", "sampler")
        },
        sampler=flow.DPMSolver(2),
        model=dataclasses.replace(
            text_to_image_flow.Config().model, network=TINY.model.network, condition=TINY.model.condition
        ),
    )
    found = runs.train(config, tmp_path, progress=False).results["test"]
    assert "unseen/guidance_2/things" in found and found["diffusion"].unit == "nats, 256 grey levels"
