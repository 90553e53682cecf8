"""Changing one import changes the engine: the same names, arguments, defaults and annotations in both."""

import inspect

import pytest
from processes import in_a_process

import fastbp
from fastbp import reference

# The public functional API, word for word.
API = {
    "sigmoid": "(x)",
    "sigmoid_gradient": "(x)",
    "cost": "(y_pred, y)",
    "cost_gradient": "(y_pred, y)",
    "forward": "(x, w, b)",
    "gradients": "(x, y, w, b, *, bias_reduction='mean')",
    "backward": "(x, y_pred, y, w, b, *, learning_rate=0.1, bias_reduction='mean')",
    "step": "(x, y, w, b, *, learning_rate=0.1, bias_reduction='mean')",
    "train": "(x, y, w, b, *, learning_rate=0.1, steps=1000, bias_reduction='mean', progress=False)",
}


def bare(function):
    """The signature without its annotations."""
    signature = inspect.signature(function)
    parameters = [p.replace(annotation=p.empty) for p in signature.parameters.values()]
    return str(signature.replace(parameters=parameters, return_annotation=signature.empty))


@pytest.mark.parametrize("name", API)
def test_signature_is_the_promised_one(engine, name):
    assert bare(getattr(engine, name)) == API[name]


@pytest.mark.parametrize("name", API)
def test_both_engines_have_one_signature(name):
    fused, plain = getattr(fastbp, name), getattr(reference, name)
    assert fused is not plain
    assert inspect.signature(fused, eval_str=True) == inspect.signature(plain, eval_str=True)


@pytest.mark.parametrize("name", API)
def test_every_argument_and_result_is_annotated(engine, name):
    signature = inspect.signature(getattr(engine, name))
    annotations = [signature.return_annotation, *(p.annotation for p in signature.parameters.values())]
    assert inspect.Signature.empty not in annotations


@pytest.mark.parametrize("name", API)
def test_every_function_is_documented(engine, name):
    assert inspect.getdoc(getattr(engine, name))


def test_reference_exports_this_api_the_network_and_no_more():
    assert sorted(reference.__all__) == sorted(["Gradients", "Network", *API])


def test_fastbp_exports_all_of_the_reference():
    assert set(reference.__all__) <= set(fastbp.__all__)
    assert fastbp.Gradients is reference.Gradients


def test_the_reference_comes_with_fastbp_when_it_is_asked_for():
    code = (
        "import sys, fastbp; before = 'fastbp.reference' in sys.modules; print(before, fastbp.reference.sigmoid(0.0))"
    )
    assert in_a_process("-c", code).split() == ["False", "0.5"]
    with pytest.raises(AttributeError, match="module 'fastbp' has no attribute 'refrence'"):
        _ = fastbp.refrence


def test_every_exported_name_exists(engine):
    assert len(set(engine.__all__)) == len(engine.__all__)
    assert all(hasattr(engine, name) for name in engine.__all__)


def test_gradients_are_named_and_unpack_in_order(engine, layer):
    x, y, w, b = layer()
    result = engine.gradients(x, y, w, b)
    assert isinstance(result, reference.Gradients)
    assert result._fields == ("w", "b", "cost")
