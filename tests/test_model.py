"""The trained network: what a target is taken for, the standardisation, a model file that gives the same answers."""

import contextlib
import json
import os
import stat
from dataclasses import replace

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

import fastbp
from fastbp.atomic import check_writable, replacing
from fastbp.command import sizes
from fastbp.command.datasets import digits
from fastbp.command.fitting import fit, prepare
from fastbp.command.meaning import Classes, Values
from fastbp.command.model import Model, columns_like
from fastbp.command.recipe import Recipe
from fastbp.command.tables import Table
from fastbp.command.targets import read_target, read_test_target
from fastbp.networks import storage
from fastbp.optimizers import SGD, Adam, AdamW
from fastbp.schedules import CosineDecay, StepDecay


def table_of(values, names=None, text=None):
    values = np.asarray(values, dtype=np.float64)
    known = tuple(names or (f"column {i}" for i in range(values.shape[1])))
    return Table("table", known, frozenset(names or ()), values, text or {})


def sample(rows=60, inputs=4, target="classes", **options):
    """A table whose target, the last column, follows from its inputs."""
    x = np.random.default_rng(7).normal(size=(rows, inputs))
    y = (x[:, :2] > 0).sum(axis=1) if target == "classes" else 3 + x @ np.arange(1, inputs + 1)
    return table_of(np.column_stack([x, y]), **options)


def prepared(table, task="auto", test_fraction=0.25, **options):
    return prepare(table, read_target(table, None, task), Recipe(**options), test_fraction=test_fraction)


def trained(table, test_fraction=0.25, **options):
    options = {"epochs": 5, "seed": 1} | options
    problem = prepared(table, test_fraction=test_fraction, **options)
    fit(problem, Recipe(**options), progress=False)
    return problem


def inputs_of(table):
    """The table without its target."""
    return table_of(table.values[:, :-1])


# values of the target, task: the labels, or None for values on a scale
TARGETS = [
    ([0, 1, 2] * 4, "auto", ("0", "1", "2")),
    ([-1, 1] * 6, "auto", ("-1", "1")),
    ([0.5, 1.5] * 6, "auto", None),
    ([0.5, 1.5] * 6, "classes", ("0.5", "1.5")),
    (list(range(12)), "auto", None),
    (list(range(40)) * 10, "auto", None),
    (list(range(40)) * 10, "classes", tuple(map(str, range(40)))),
    ([0, 1, 2] * 4, "values", None),
]


@pytest.mark.parametrize(("values", "task", "labels"), TARGETS)
def test_few_whole_numbers_are_classes_and_others_values(values, task, labels):
    target = read_target(table_of([[0, value] for value in values]), None, task)
    assert (target.labels, target.column) == (labels, 1)
    shown = [float(labels[i]) for i in target.actual] if labels else target.actual
    np.testing.assert_array_equal(shown, values)


@pytest.mark.parametrize("task", ["auto", "classes"])
def test_classes_that_float64_would_merge_are_refused(task):
    table = table_of([[0, 2.0**53], [0, 2.0**53 + 4]] * 5)
    with pytest.raises(ValueError, match=r"whole numbers from 2\^53 on"):
        read_target(table, None, task)
    assert read_target(table, None, "values").labels is None
    assert read_target(table_of([[0, 2.0**53 - 1], [0, 3]] * 5), None, task).labels == ("3", "9007199254740991")


def test_text_is_classes_in_the_order_of_the_alphabet():
    cells = ["pear", "apple", "pear", "fig", "fig", "apple"]
    target = read_target(table_of(np.full((6, 2), np.nan), text={1: cells}), None, "auto")
    assert target.labels == ("apple", "fig", "pear")
    assert Classes(target.labels).words(target.actual) == cells


@pytest.mark.parametrize(
    ("cells", "task", "message"),
    [
        (["a", "a", "a"], "auto", "is 'a' in every row"),
        (["a", "b", "c", "d", "e"], "auto", "5 different texts in 5 rows"),
        (["a", "", "a"], "auto", "row 2 is missing; a class is wanted"),
        (["282594,1", "1,5", "3", "4"], "auto", "row 1 holds the text '282594,1'; a number with a decimal point is"),
        (["3", "1,000", "2,000", "4"], "auto", "row 2 holds the text '1,000'; a number is wanted"),
        (["1,5", "2,5", "3,5"], "classes", "3 different texts in 3 rows"),
        (["1,5", "2,5", "x"], "auto", "row 1 holds the text '1,5'; a number with a decimal point is"),
        (["1,5", "2,5"] * 3, "auto", "row 1 holds the text '1,5'; a number with a decimal point is"),
        (["1.5", "2.5", "unknown", "3.5", "4"], "auto", "row 3 holds the text 'unknown'; a number is wanted"),
        (["1.5", "a", "unknown", "b", "c"], "auto", "5 different texts in 5 rows"),
        (["a", "b", "a"], "values", "row 1 holds the text 'a'; a number is wanted"),
    ],
)
def test_text_that_cannot_be_classes_is_refused(cells, task, message):
    with pytest.raises(ValueError, match=message):
        read_target(table_of(np.full((len(cells), 2), np.nan), text={1: cells}), None, task)


def test_true_and_false_are_two_classes():
    cells = ["True", "False", "True", "True"]
    target = read_target(table_of(np.full((4, 2), np.nan), text={1: cells}), None, "auto")
    assert (target.labels, target.actual.tolist()) == (("False", "True"), [1, 0, 1, 1])


@pytest.mark.parametrize("task", ["classes", "values"])
def test_constant_target_is_refused(task):
    with pytest.raises(ValueError, match="at least two"):
        prepared(table_of([[i, 3] for i in range(9)]), task, test_fraction=0)


def test_classes_of_a_test_set_are_those_trained_on():
    known = read_target(table_of([[0, value] for value in [3, 5, 9] * 4]), None, "auto")
    target = read_test_target(table_of([[0, 9], [0, 3]]), None, known, named=False)
    assert (target.labels, target.actual.tolist()) == (("3", "5", "9"), [2, 0])
    words = read_test_target(table_of(np.full((2, 2), np.nan), text={1: ["5", "3"]}), "1", known, named=False)
    assert words.actual.tolist() == [1, 0]
    with pytest.raises(ValueError, match="table has 1 class that no row to train on has: '4'"):
        read_test_target(table_of([[0, 9], [0, 4]]), None, known, named=False)


def test_values_of_a_test_set_may_be_few_whole_numbers():
    known = read_target(table_of([[0, value / 2] for value in range(12)]), None, "auto")
    target = read_test_target(table_of([[0, 9], [0, 3]]), None, known, named=False)
    assert (target.labels, target.actual.tolist()) == (None, [9, 3])


def test_values_come_back_from_outputs():
    values = np.array([-5.0, 0.0, 20.0])
    scale = Values(5.0, 10.0)
    y = scale.encode(values, "squared_error", np.float64)
    np.testing.assert_allclose(y[:, 0], [-1, -0.5, 1.5])
    np.testing.assert_allclose(scale.decode(y), values, atol=1e-12)


@pytest.mark.parametrize(
    ("deviation", "value", "word"),
    [
        (10.0, 12.345678, "12.34568"),
        (0.02, 1.23456789012, "1.23456789"),
        (1.0, 1.7e9 + 0.123456789, "1700000000.123457"),
        (3e200, 1.23456789e200, "1.234568e+200"),
        (1e-300, 1.23456789e-300, "1.234568e-300"),
    ],
)
def test_values_are_rounded_to_a_millionth_of_their_deviation(deviation, value, word):
    assert Values(0.0, deviation).words(np.array([value])) == [word]


def test_classes_become_what_their_loss_takes():
    actual = np.array([1, 0, 1])
    two = Classes(("a", "b"))
    assert two.encode(actual, "cross_entropy", "float32") is actual
    np.testing.assert_array_equal(two.encode(actual, "squared_error", "float32"), np.float32([[0, 1], [1, 0], [0, 1]]))
    np.testing.assert_array_equal(two.encode(actual, "binary_cross_entropy", "f4"), np.float32([[1], [0], [1]]))
    assert [two.outputs(loss) for loss in two.losses] == [2, 2, 1]
    np.testing.assert_array_equal(two.decode(np.array([[0.2, 0.8], [0.6, 0.4]])), [1, 0])
    np.testing.assert_array_equal(two.decode(np.array([[0.8], [0.4]])), [1, 0])
    assert "binary_cross_entropy" not in Classes(("a", "b", "c")).losses


def test_scores_are_those_of_the_textbook():
    assert Classes(("a", "b")).score(np.array([0, 1, 1, 0]), np.array([0, 1, 0, 0])) == {"accuracy": 0.75}
    score = Values(2.0, 5.0).score(np.array([1.0, 2.0, 3.0]), np.array([1.0, 2.0, 6.0]))
    assert score == pytest.approx({"R^2": 1 - 9 / 14, "error": 3**0.5})
    assert np.isnan(Values(0, 4).score(np.array([1.0]), np.array([1.0]))["R^2"])
    assert Values(0.0, 1e200).score(np.array([1e200, 3e200]), np.array([1e200, 2e200]))["error"] == pytest.approx(
        0.5**0.5 * 1e200
    )


def test_standardisation_is_that_of_the_rows_trained_on():
    problem = prepared(sample(), test_fraction=0.5, seed=3, dtype="float64")
    np.testing.assert_allclose(problem.train.x.mean(axis=0), 0, atol=1e-14)
    np.testing.assert_allclose(problem.train.x.std(axis=0), 1, rtol=1e-14)
    assert abs(problem.test.x.mean(axis=0)).max() > 0.01


def test_values_are_standardised_by_the_rows_trained_on():
    problem = prepared(sample(target="values"), test_fraction=0.5, seed=3, dtype="float64")
    np.testing.assert_allclose([problem.train.y.mean(), problem.train.y.std()], [0, 1], atol=1e-14)
    assert abs(problem.test.y.mean()) > 0.01


def test_images_are_standardised_together():
    images = np.random.default_rng(2).integers(0, 256, (50, 6)).astype(np.uint8)
    images[:, 2:] //= 4
    table = Table("table", tuple("abcdef"), frozenset(), images, {}, (2, 3))
    target = read_target(table_of([[0, i % 2] for i in range(50)]), None, "auto")
    x = prepare(table, replace(target, column=None), Recipe(dtype="float64"), test_fraction=0).train.x
    np.testing.assert_allclose(x, (images - images.mean()) / images.std(), atol=1e-12)


def test_rows_are_split_by_the_seed_and_none_is_lost():
    table = table_of([[i, i % 2] for i in range(20)])
    splits = {}
    for seed in (0, 1):
        problem = prepared(table, test_fraction=0.3, seed=seed, dtype="float64")
        scale = problem.model.standardisation
        rows = [np.rint(part.x[:, 0] / scale.scale + scale.mean) for part in (problem.train, problem.test)]
        assert sorted(np.concatenate(rows)) == list(range(20))
        assert [len(part) for part in rows] == [14, 6]
        splits[seed] = rows[1].tolist()
    assert splits[0] != splits[1]


@pytest.mark.parametrize("constant", [0.0, 0.1, 1e9])
def test_constant_column_says_nothing(constant):
    table = sample()
    table.values[:, 2] = constant
    model = trained(table, test_fraction=0).model
    assert model.standardisation.scale[2] == 0
    changed = table_of(table.values[:, :4].copy())
    changed.values[:, 2] = 1e30
    assert model.predict(changed) == model.predict(inputs_of(table))


@pytest.mark.parametrize("size", [1e-200, 1e200])
def test_units_of_a_column_do_not_matter(size):
    table, other = sample(), sample()
    other.values[:, 1] *= size
    assert trained(other).model.predict(inputs_of(other)) == trained(table).model.predict(inputs_of(table))


def test_row_beyond_the_model_is_refused_by_its_number():
    model = trained(sample()).model
    model.network.weights[0][...] = 1e30
    rows = np.zeros((5000, 4))
    rows[4500] = 1e12
    with pytest.raises(ValueError, match="table: row 4501 has numbers too large for the model"):
        model.predict(table_of(rows))


def test_value_beyond_float64_is_refused_by_its_number():
    model = replace(trained(sample(target="values")).model, meaning=Values(1e308, 1e308))
    with pytest.raises(ValueError, match=r"table: row \d+ has numbers too large for the model"):
        model.predict(inputs_of(sample(target="values")))


@pytest.mark.parametrize("column", [1, 4])
def test_row_held_out_that_is_beyond_the_dtype_is_refused_by_its_number(column):
    table = sample(target="values")
    held_out = np.sort(np.random.default_rng(0).permutation(60)[:15])
    table.values[held_out[3], column] = 1e300
    with pytest.raises(ValueError, match=f"table: row {held_out[3] + 1} has numbers too large beside those of the"):
        prepared(table, seed=0)
    assert prepared(table, seed=0, dtype="float64").test.x.shape == (15, 4)


@pytest.mark.parametrize(("dtype", "size"), [("float32", 960), ("float64", 1920)])
def test_rows_that_do_not_fit_into_memory_once_standardised_are_refused(monkeypatch, dtype, size):
    monkeypatch.setattr(sizes, "largest_table", lambda: size - 1)
    with pytest.raises(ValueError, match=f"table, standardised in {dtype}, takes {size:,} bytes or more; at most"):
        prepared(sample(), dtype=dtype)


def test_column_beyond_standardisation_is_refused_by_its_name():
    table = sample(names=["a", "b", "c", "d", "y"])
    table.values[:, 1] *= 1e-310
    with pytest.raises(ValueError, match="column 'b' has numbers too small"):
        trained(table)


def test_no_row_left_on_one_side_of_the_split_is_refused():
    with pytest.raises(ValueError, match=r"--test-fraction is 0.001, which leaves 60 of 60 rows to train on and 0"):
        trained(sample(), test_fraction=0.001)


def test_single_column_is_refused():
    with pytest.raises(ValueError, match="has one column"):
        read_target(table_of([[0], [1]]), None, "auto")


def test_digits_are_the_published_ones():
    table = digits()
    assert table.values.shape == (1797, 65)
    assert table.names[0] == "pixel0"
    assert table.names[-1] == "digit"
    assert (table.values[:, :64].min(), table.values[:, :64].max()) == (0, 16)
    assert np.bincount(table.values[:, 64].astype(int)).tolist() == [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]
    assert int(table.values[:, :64].sum()) == 561718


@pytest.mark.jit_only
@pytest.mark.parametrize("seed", range(3))
def test_digits_are_learned_without_any_option(seed):
    problem = trained(digits(), test_fraction=0.2, epochs=None, seed=seed)
    assert problem.score(problem.train)["loss"] < 0.003
    assert problem.score(problem.test)["accuracy"] > 0.96


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("target", ["classes", "values"])
def test_saved_model_gives_the_same_answers(tmp_path, target, dtype):
    table = sample(target=target, names=["a", "b", "ç d", "e\n", "y"])
    model = trained(table, dtype=dtype).model
    model.save(tmp_path / "model")
    loaded = Model.load(tmp_path / "model")
    assert loaded.predict(table) == model.predict(table)
    assert (loaded.names, loaded.named, loaded.target, loaded.meaning) == (
        model.names,
        model.named,
        model.target,
        model.meaning,
    )
    for name in ("mean", "scale"):
        np.testing.assert_array_equal(
            getattr(loaded.standardisation, name), getattr(model.standardisation, name), strict=True
        )


def test_model_file_is_that_of_a_network_with_more_beside_it(tmp_path):
    model = trained(sample()).model
    model.save(tmp_path / "model")
    network = fastbp.Network.load(tmp_path / "model")
    x = np.random.default_rng(3).normal(size=(5, 4))
    np.testing.assert_array_equal(network.predict(x), model.network.predict(x))
    tensors = load_file(tmp_path / "model")
    np.testing.assert_array_equal(tensors["weights.0"], model.network.weights[0])
    np.testing.assert_array_equal(tensors["extra.mean"], model.standardisation.mean)
    with safe_open(tmp_path / "model", framework="numpy") as file:
        assert json.loads(file.metadata()["extra"])["labels"] == ["0", "1", "2"]


def test_inputs_are_found_by_name_in_any_order_with_or_without_the_target():
    table = sample(names=["a", "b", "c", "d", "y"])
    model = trained(table).model
    order = [3, 4, 0, 2, 1]
    shuffled = table_of(table.values[:, order], names=[table.names[i] for i in order])
    alone = table_of(table.values[:, :4], names=table.names[:4])
    unnamed = table_of(table.values[:, :4])
    assert model.predict(shuffled) == model.predict(alone) == model.predict(unnamed) == model.predict(table)


@pytest.mark.parametrize(
    ("names", "width", "message"),
    [
        (["a", "b", "c", "z"], 4, "lacks 1 of the model's columns: 'd'"),
        (["a", "b", "c", "d", "z"], 5, "1 column that the model does not know: 'z'"),
        (None, 3, "has 3 columns, and the model 4 inputs; as many are wanted"),
        (None, 5, "has 5 columns, and the model 4 inputs; as many are wanted"),
    ],
)
def test_other_columns_than_the_model_knows_are_refused(names, width, message):
    model = trained(sample(names=["a", "b", "c", "d", "y"])).model
    with pytest.raises(ValueError, match=message):
        model.predict(table_of(np.zeros((2, width)), names=names))


def saved(tmp_path, tensors=None, of="classes", **changes):
    """A model file with some other tensors, or something else said beside the network; None leaves one out."""
    path = tmp_path / "model"
    trained(sample(target=of)).model.save(path)
    with safe_open(path, framework="numpy") as file:
        metadata = file.metadata()
    about = json.loads(metadata["extra"]) | changes
    metadata["extra"] = json.dumps({name: value for name, value in about.items() if value is not None})
    known = load_file(path) | (tensors or {})
    save_file({name: tensor for name, tensor in known.items() if tensor is not None}, path, metadata)
    return path


BAD_MODELS = {
    "no weights": ({"tensors": {"weights.0": None}}, r"weights\.0 of shape None"),
    "other shape": ({"tensors": {"weights.1": np.zeros((4, 2), "f4")}}, r"weights\.1 of shape \[4, 2\]"),
    "other dtype": ({"tensors": {"biases.0": np.zeros(64)}}, "dtype float64; float32 is wanted"),
    "no mean": ({"tensors": {"extra.mean": None}}, r"mean is float64 of shape \(0,\); finite float64 \(4,\) is wanted"),
    "mean of another shape": ({"tensors": {"extra.mean": np.zeros((2, 2))}}, r"mean is float64 of shape \(2, 2\)"),
    "scale of another dtype": ({"tensors": {"extra.scale": np.zeros(4, "f4")}}, "scale is float32"),
    "mean that is not finite": ({"tensors": {"extra.mean": np.full(4, np.nan)}}, "mean is float64"),
    "later format": ({"format": 2}, "its names are in format 2; 1 is wanted"),
    "no format": ({"format": None}, "its names are in format None"),
    "names of another kind": ({"names": "abcd"}, "names is 'abcd'"),
    "fewer names": ({"names": ["a", "b", "c"]}, "4 inputs, 3 outputs and the loss cross_entropy; 3 and 3"),
    "fewer labels": ({"labels": ["0", "1"]}, "4 and 2 and one of cross_entropy"),
    "labels that are no texts": ({"labels": [0, 1, 2]}, "labels is"),
    "one label": ({"labels": ["0"]}, "a list of 2 texts or more is wanted"),
    "half a character": ({"labels": ["0", "1", "\ud800"]}, "surrogates not allowed"),
    "no target": ({"target": None}, "target"),
    "target that is no text": ({"target": {"name": 1}}, "target is"),
    "neither labels nor values": ({"labels": None}, "mean"),
    "values of a network of classes": ({"labels": None, "mean": 0.0, "deviation": 1.0}, "one of squared_error"),
    "values without a deviation": ({"of": "values", "deviation": 0}, "not finite and positive"),
    "values of text": ({"of": "values", "mean": "x"}, "could not convert"),
    "values that are not finite": ({"of": "values", "mean": float("nan")}, "not finite and positive"),
}


@pytest.mark.parametrize(("changes", "message"), BAD_MODELS.values(), ids=BAD_MODELS)
def test_model_file_that_does_not_fit_is_refused(tmp_path, changes, message):
    with pytest.raises(ValueError, match=rf"model (is not a readable model file|has) .*{message}|{message}"):
        Model.load(saved(tmp_path, **changes))


@pytest.mark.parametrize("extra", ["[1]", "5", "{", "[" * 100_000])
def test_what_is_said_beside_a_network_must_be_an_object(tmp_path, extra):
    path = saved(tmp_path)
    with safe_open(path, framework="numpy") as file:
        metadata = file.metadata() | {"extra": extra}
    save_file(load_file(path), path, metadata)
    with pytest.raises(ValueError, match="model has damaged metadata"):
        Model.load(path)


def test_network_without_names_is_refused(tmp_path):
    fastbp.Network([4, 3], loss="cross_entropy").save(tmp_path / "model")
    with pytest.raises(ValueError, match="it has no names and no meaning; a file written by fastbp train --save"):
        Model.load(tmp_path / "model")


def test_model_that_is_replaced_while_it_is_read_is_one_of_the_two(tmp_path, monkeypatch):
    """Whatever is saved once the file has been read and closed, as a training run beside may do."""
    path, other = saved(tmp_path), tmp_path / "other"
    model = trained(sample(target="values"), epochs=1).model
    wanted = Model.load(path)
    opened = storage.safe_open

    @contextlib.contextmanager
    def then_replaced(*arguments, **options):
        with opened(*arguments, **options) as file:
            yield file
        model.save(other)
        other.replace(path)

    monkeypatch.setattr(storage, "safe_open", then_replaced)
    loaded = Model.load(path)
    assert loaded.meaning == wanted.meaning
    np.testing.assert_array_equal(loaded.network.weights[0], wanted.network.weights[0])


def test_damaged_model_file_is_read_or_refused(tmp_path):
    path = saved(tmp_path)
    content = path.read_bytes()
    header = 8 + int.from_bytes(content[:8], "little")
    rng = np.random.default_rng(11)
    for end in (header, len(content)):
        for _ in range(150):
            damaged = bytearray(content)
            for place in rng.integers(end, size=3):
                damaged[place] = rng.integers(256)
            path.write_bytes(damaged)
            with contextlib.suppress(ValueError):
                Model.load(path).predict(inputs_of(sample()))
    for length in range(0, len(content), 97):
        path.write_bytes(content[:length])
        with pytest.raises(ValueError, match="model is not a whole safetensors file"):
            Model.load(path)


def test_file_is_replaced_whole_or_not_at_all(tmp_path):
    path = tmp_path / "file"
    path.write_text("before")

    def interrupted():
        with replacing(path) as stream:
            stream.write(b"half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert path.read_text() == "before"
    with replacing(path) as stream:
        stream.write(b"after")
        stream.flush()
        assert path.read_text() == "before"
    assert path.read_text() == "after"
    assert os.listdir(tmp_path) == ["file"]


@pytest.mark.skipif(os.name == "nt", reason="no symbolic links or modes")
def test_replaced_file_keeps_the_link_to_it_and_usual_modes(tmp_path):
    link = tmp_path / "link"
    link.symlink_to(tmp_path / "file")
    with replacing(link) as stream:
        stream.write(b"content")
    assert link.is_symlink()
    umask = os.umask(0)
    os.umask(umask)
    assert stat.S_IMODE((tmp_path / "file").stat().st_mode) == 0o666 & ~umask


@pytest.mark.parametrize(
    ("path", "message"), [(".", "not a file"), ("none/a", "no folder"), ("x" * 300, "cannot be written")]
)
def test_file_that_cannot_be_written_is_refused_before_work(tmp_path, path, message):
    with pytest.raises(ValueError, match=rf"--save is .*{message}"):
        check_writable("--save", tmp_path / path)
    assert not os.listdir(tmp_path)


@pytest.mark.parametrize(
    ("options", "rows", "batches", "epochs"),
    [
        ({}, 1824, 57, 71),  # 4000 updates, and as many more as the last epoch has
        ({}, 1825, 58, 69),
        ({}, 10, 1, 100),
        ({}, 10**6, 31_250, 10),
        ({"epochs": 3}, 10**6, 31_250, 3),
        ({"batch_size": 1}, 4000, 4000, 10),
        ({"patience": 5}, 1000, 29, 100),  # a tenth of the rows is held back
        ({"patience": 5}, 2, 1, 100),
    ],
)
def test_a_recipe_trains_for_about_4000_updates_in_10_to_100_epochs(options, rows, batches, epochs):
    recipe = Recipe(**options)
    assert (recipe.batches(rows), recipe.epochs_for(rows)) == (batches, epochs)


def test_early_stopping_is_judged_by_a_tenth_of_the_rows_and_by_one_at_least():
    recipe = Recipe(patience=3)
    assert [recipe.held_back(rows) for rows in (2, 9, 10, 29, 1000)] == [1, 1, 1, 2, 100]
    assert Recipe().held_back(1000) == 0
    with pytest.raises(ValueError, match="--patience wants two rows or more"):
        recipe.held_back(1)


@pytest.mark.parametrize(
    ("options", "optimizer"),
    [
        ({"optimizer": "adamw", "weight_decay": 0.0}, AdamW(learning_rate=0.002, weight_decay=0)),
        ({"optimizer": "sgd", "momentum": 0.0}, SGD(learning_rate=0.01)),
        ({"optimizer": "sgd", "clip_norm": 2.0}, SGD(learning_rate=0.01, momentum=0.9, clip_norm=2.0)),
        ({"optimizer": "adam", "clip_norm": 2.0}, Adam(learning_rate=0.002, clip_norm=2.0)),
        ({"optimizer": "adamw", "clip_norm": 2.0}, AdamW(learning_rate=0.002, clip_norm=2.0)),
    ],
    ids=str,
)
def test_a_recipe_keeps_to_settings_of_0_and_to_all_others(options, optimizer):
    assert Recipe(schedule="constant", **options).optimizer_for(1000) == optimizer


def test_a_schedule_ends_with_the_last_update_of_the_rows_that_are_not_held_back():
    options = {"epochs": 7, "patience": 2, "batch_size": 32}  # 29 batches of 900 rows
    assert Recipe(**options).optimizer_for(1000).learning_rate == CosineDecay(0.002, 7 * 29)
    assert Recipe(schedule="step", **options).optimizer_for(1000).learning_rate == StepDecay(0.002, 68)


@pytest.mark.parametrize("optimizer", ["adam", "adamw"])
def test_a_momentum_of_0_too_is_wanted_of_sgd_alone(optimizer):
    with pytest.raises(ValueError, match=f"--momentum is 0, but --optimizer is {optimizer}; sgd is wanted with it"):
        Recipe(optimizer=optimizer, momentum=0.0)


def test_a_network_begins_with_the_weights_of_its_seed_and_in_its_dtype():
    first, same, other = (
        Recipe(seed=seed, dtype="float64").network(3, Values(0.0, 1.0), "squared_error") for seed in (5, 5, 6)
    )
    assert first.weights[0].dtype == np.float64
    np.testing.assert_array_equal(first.weights[0], same.weights[0])
    assert (first.weights[0] != other.weights[0]).all()


def test_a_network_whose_copies_do_not_fit_into_memory_is_refused_before_it_is_made(monkeypatch):
    """Of 1000-64-2 with biases: 4 copies of 64194 numbers of 4 bytes."""
    classes = Classes(("a", "b"))
    monkeypatch.setattr(sizes, "largest_table", lambda: 4 * 4 * 64194)
    assert Recipe().network(1000, classes, "cross_entropy").architecture.sizes == (1000, 64, 2)
    monkeypatch.setattr(sizes, "largest_table", lambda: 4 * 4 * 64194 - 1)
    with pytest.raises(ValueError, match=r"^the network of sizes 1000, 64, 2 takes 1,027,104 bytes or more"):
        Recipe().network(1000, classes, "cross_entropy")


@pytest.mark.parametrize(("different", "classes"), [(30, True), (31, False)])
def test_up_to_30_different_whole_numbers_are_classes(different, classes):
    target = read_target(table_of([[0, row % different] for row in range(1000)]), None, "auto")
    assert (target.labels is not None) == classes


def test_up_to_1000_different_numbers_may_be_classes():
    def read(different):
        return read_target(table_of([[0, row % different] for row in range(3003)]), None, "classes")

    assert len(read(1000).labels) == 1000
    with pytest.raises(ValueError, match="has 1001 different numbers; at most 1000 classes are wanted"):
        read(1001)


def test_a_target_without_a_name_is_found_by_its_number_in_a_test_set_with_names():
    known = read_target(table_of([[0, 3], [0, 5]] * 4), "1", "classes")
    target = read_test_target(table_of([[3, 5], [3, 3]], names=["column 1", "y"]), None, known, named=False)
    assert (target.name, target.actual.tolist()) == ("y", [1, 0])


def test_a_word_is_a_column_before_it_is_a_file_and_the_target_has_the_name_that_a_file_gives_it(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    table = table_of([[0, row % 2] for row in range(8)], names=["x", "kind"])
    for name in ("kind", "kinds", "headless"):
        (tmp_path / name).write_text(("" if name == "headless" else "species\n") + "7\n8\n" * 4)
    assert (target := read_target(table, "kind", "auto")).labels == ("0", "1")
    assert (target.name, target.column) == ("kind", 1)
    assert (target := read_target(table, "kinds", "auto")).labels == ("7", "8")
    assert (target.name, target.column) == ("species", None)
    assert read_target(table, "headless", "auto").name == "headless"


def test_of_two_classes_an_output_of_a_half_is_the_first_as_the_network_says():
    y_pred = np.array([[0.5], [np.nextafter(0.5, 1)]])
    assert Classes(("a", "b")).decode(y_pred).tolist() == [0, 1]
    network = fastbp.Network([1, 1], loss="binary_cross_entropy")
    network.weights[0][:] = 0
    assert network.predict_classes([[3.0]]).tolist() == [0]


def test_scores_are_told_without_a_warning_whatever_the_values():
    same = np.full(3, 2.0)
    score = Values(2.0, 1.0).score(same + 1, same)
    assert score["error"] == 1
    assert np.isnan(score["R^2"])
    beyond = Values(0.0, 1.0).score(np.array([1e300, 0.0]), np.array([0.0, 1.0]))
    assert beyond == {"error": np.inf, "R^2": -np.inf}


def test_no_memory_for_a_model_is_told_as_such(tmp_path, monkeypatch):
    def refused(_):
        raise MemoryError

    monkeypatch.setattr(storage, "load_with_extra", refused)
    with pytest.raises(MemoryError):
        Model.load(tmp_path / "model")


def test_a_column_without_a_name_is_not_taken_for_the_target_of_that_number():
    with pytest.raises(ValueError, match="table has 3 columns, and the model 2 inputs; as many are wanted"):
        columns_like(table_of(np.zeros((2, 3))), ["column 0", "column 1"], False, "column 2")
    assert columns_like(table_of(np.zeros((2, 3)), ["a", "b", "y"]), ["column 0", "column 1"], False, "y") == [0, 1]
