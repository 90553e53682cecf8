"""The trained layer: what a target is taken for, the standardisation, and a model file that gives the same answers."""

import contextlib
import json
import os
import stat

import numpy as np
import pytest

from fastbp.command.atomic import check_writable, replacing
from fastbp.command.datasets import digits
from fastbp.command.fitting import fit, prepare
from fastbp.command.model import Model
from fastbp.command.tables import Table
from fastbp.command.targets import Classes, Values, read_target


def table_of(values, names=None, text=None):
    values = np.asarray(values, dtype=np.float64)
    known = tuple(names or (f"column {i}" for i in range(values.shape[1])))
    return Table("table", known, names is not None, values, text or {})


def sample(rows=60, inputs=4, target="classes", **options):
    """A table whose target, the last column, follows from its inputs."""
    x = np.random.default_rng(7).normal(size=(rows, inputs))
    y = (x[:, :2] > 0).sum(axis=1) if target == "classes" else 3 + x @ np.arange(1, inputs + 1)
    return table_of(np.column_stack([x, y]), **options)


def trained(table, **options):
    settings = {"task": "auto", "test_fraction": 0.25, "seed": 1, "dtype": "float32"} | options
    problem = prepare(table, len(table.names) - 1, **settings)
    fit(problem, learning_rate=1.0, steps=50, progress=False)
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
    classes, actual = read_target(table_of(np.array(values)[:, None]), 0, task)
    assert (classes.labels if classes else None) == labels
    shown = [float(classes.labels[i]) for i in actual] if classes else actual
    np.testing.assert_array_equal(shown, values)


def test_text_is_classes_in_the_order_of_the_alphabet():
    cells = ["pear", "apple", "pear", "fig", "fig", "apple"]
    classes, actual = read_target(table_of(np.full((6, 1), np.nan), text={0: cells}), 0, "auto")
    assert classes == Classes(("apple", "fig", "pear"))
    assert classes.words(actual) == cells


@pytest.mark.parametrize(
    ("cells", "task", "message"),
    [
        (["a", "a", "a"], "auto", "is 'a' in every row"),
        (["a", "b", "c", "d", "e"], "auto", "5 different texts in 5 rows"),
        (["a", "", "a"], "auto", "row 2 is missing; a class is wanted"),
        (["a", "b", "a"], "values", "row 1 holds the text 'a'; a number is wanted"),
    ],
)
def test_text_that_cannot_be_classes_is_refused(cells, task, message):
    with pytest.raises(ValueError, match=message):
        read_target(table_of(np.full((len(cells), 1), np.nan), text={0: cells}), 0, task)


@pytest.mark.parametrize("task", ["classes", "values"])
def test_constant_target_is_refused(task):
    with pytest.raises(ValueError, match="at least two"):
        prepare(table_of([[i, 3] for i in range(9)]), 1, task=task, test_fraction=0, seed=0, dtype="float32")


def test_values_come_back_from_outputs():
    values = np.array([-5.0, 0.0, 20.0])
    scale = Values(-5.0, 20.0)
    y = scale.encode(values, np.float64)
    np.testing.assert_allclose(y[:, 0], [0.1, 0.26, 0.9])
    np.testing.assert_allclose(scale.decode(y), values, atol=1e-12)


def test_scores_are_those_of_the_textbook():
    assert Classes(("a", "b")).score(np.array([0, 1, 1, 0]), np.array([0, 1, 0, 0])) == {"accuracy": 0.75}
    score = Values(0, 4).score(np.array([1.0, 2.0, 3.0]), np.array([1.0, 2.0, 6.0]))
    assert score == pytest.approx({"R^2": 1 - 9 / 14, "RMSE": 3**0.5})
    assert np.isnan(Values(0, 4).score(np.array([1.0]), np.array([1.0]))["R^2"])


def test_standardisation_is_that_of_the_rows_trained_on():
    problem = prepare(sample(), 4, task="auto", test_fraction=0.5, seed=3, dtype="float64")
    np.testing.assert_allclose(problem.train.x.mean(axis=0), 0, atol=1e-14)
    np.testing.assert_allclose(problem.train.x.std(axis=0), 1, rtol=1e-14)
    assert abs(problem.test.x.mean(axis=0)).max() > 0.01


def test_rows_are_split_by_the_seed_and_none_is_lost():
    table = table_of([[i, i % 2] for i in range(20)])
    splits = {}
    for seed in (0, 1):
        problem = prepare(table, 1, task="auto", test_fraction=0.3, seed=seed, dtype="float64")
        model = problem.model
        rows = [np.rint(part.x[:, 0] / model.scale + model.mean) for part in (problem.train, problem.test)]
        assert sorted(np.concatenate(rows)) == list(range(20))
        assert [len(part) for part in rows] == [14, 6]
        splits[seed] = rows[1].tolist()
    assert splits[0] != splits[1]


@pytest.mark.parametrize("constant", [0.0, 0.1, 1e9])
def test_constant_column_says_nothing(constant):
    table = sample()
    table.values[:, 2] = constant
    model = trained(table, test_fraction=0).model
    assert model.scale[2] == 0
    changed = table_of(table.values[:, :4].copy())
    changed.values[:, 2] = 1e30
    assert model.predict(changed) == model.predict(inputs_of(table))


@pytest.mark.parametrize("size", [1e-200, 1e200])
def test_units_of_a_column_do_not_matter(size):
    table, other = sample(), sample()
    other.values[:, 1] *= size
    assert trained(other).model.predict(inputs_of(other)) == trained(table).model.predict(inputs_of(table))


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
        prepare(table_of([[0], [1]]), 0, task="auto", test_fraction=0, seed=0, dtype="float32")


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
def test_digits_are_learned_as_well_as_one_sigmoid_layer_can(seed):
    problem = prepare(digits(), 64, task="auto", test_fraction=0.2, seed=seed, dtype="float32")
    costs = fit(problem, learning_rate=1.0, steps=1000, progress=False)
    assert costs[0] == pytest.approx(1438 * 10 / 4)
    assert costs[-1] < 110
    assert problem.score(problem.test)["accuracy"] > 0.94


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("target", ["classes", "values"])
def test_saved_model_gives_the_same_answers(tmp_path, target, dtype):
    table = sample(target=target, names=["a", "b", "ç d", "e\n", "y"])
    model = trained(table, dtype=dtype).model
    model.save(tmp_path / "model.npz")
    loaded = Model.load(tmp_path / "model.npz")
    assert loaded.predict(table) == model.predict(table)
    assert (loaded.names, loaded.named, loaded.target, loaded.meaning) == (
        model.names,
        model.named,
        model.target,
        model.meaning,
    )
    for name in ("w", "b", "mean", "scale"):
        np.testing.assert_array_equal(getattr(loaded, name), getattr(model, name), strict=True)


def test_saved_weights_are_plain_arrays(tmp_path):
    model = trained(sample()).model
    model.save(tmp_path / "model.npz")
    with np.load(tmp_path / "model.npz", allow_pickle=False) as arrays:
        np.testing.assert_array_equal(arrays["w"], model.w)
        assert json.loads(arrays["about"].tobytes())["labels"] == ["0", "1", "2"]


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
        (["a", "b", "c", "d", "z"], 5, "1 columns that the model does not know: 'z'"),
        (None, 3, "has 3 columns; 4 are wanted"),
        (None, 5, "has 5 columns; 4 are wanted"),
    ],
)
def test_other_columns_than_the_model_knows_are_refused(names, width, message):
    model = trained(sample(names=["a", "b", "c", "d", "y"])).model
    with pytest.raises(ValueError, match=message):
        model.predict(table_of(np.zeros((2, width)), names=names))


def saved(tmp_path, **changes):
    """A model file of which some arrays are others; None leaves one out."""
    path = tmp_path / "model.npz"
    trained(sample()).model.save(path)
    with np.load(path) as known:
        arrays = dict(known) | changes
    np.savez(path, **{name: array for name, array in arrays.items() if array is not None})
    return path


def about(**changes):
    known = {"fastbp_model": 1, "names": list("abcd"), "named": True, "target": "y", "labels": list("012")}
    return np.frombuffer(json.dumps(known | changes).encode(), np.uint8)


BAD_MODELS = {
    "no weights": ({"w": None}, "it lacks w"),
    "other shape": ({"w": np.zeros((4, 2), "f4")}, r"w is float32 of shape \(4, 2\)"),
    "other dtype": ({"w": np.zeros((4, 3))}, "b has dtype float32; float64 is wanted"),
    "not finite": ({"mean": np.full(4, np.nan)}, "mean is float64"),
    "not numbers": ({"b": np.array(["a", "b", "c"])}, "b is <U1"),
    "not JSON": ({"about": np.zeros(3, np.uint8)}, "not a readable model"),
    "not an object": ({"about": np.frombuffer(b"[1]", np.uint8)}, "its format is not 1"),
    "later format": ({"about": about(fastbp_model=2)}, "its format is not 1"),
    "names of another kind": ({"about": about(names="abcd")}, "names is 'abcd'"),
    "fewer labels": ({"about": about(labels=["0", "1"])}, r"shape \(4, 2\) are wanted"),
}


@pytest.mark.parametrize(("changes", "message"), BAD_MODELS.values(), ids=BAD_MODELS)
def test_model_file_that_does_not_fit_is_refused(tmp_path, changes, message):
    with pytest.raises(ValueError, match=rf"model.npz is not a readable model file: .*{message}|{message}"):
        Model.load(saved(tmp_path, **changes))


def test_damaged_model_file_is_read_or_refused(tmp_path):
    path = saved(tmp_path)
    content = path.read_bytes()
    rng = np.random.default_rng(11)
    for _ in range(150):
        damaged = bytearray(content)
        for place in rng.integers(len(damaged), size=3):
            damaged[place] = rng.integers(256)
        path.write_bytes(damaged)
        with contextlib.suppress(ValueError):
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
