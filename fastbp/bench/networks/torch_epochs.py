"""An epoch in PyTorch: by hand, and with autograd and its own optimizers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import torch

from .batches import Run, gathered
from .cases import Problem

aten = torch.ops.aten
ACTIVATE = {"sigmoid": aten.sigmoid_, "tanh": aten.tanh_, "relu": aten.relu_}


class Batch(NamedTuple):
    """What one batch works on, as in `numpy_epochs`; its gradient is rate times delta p^T."""

    p: list[Any]
    a: list[Any]
    delta: list[Any]
    output_delta: Callable[[], None]
    rate: float


def torch_epochs(problem: Problem) -> Run:
    """PyTorch without autograd, in columns as `numpy_epochs` is; SGD's update is inside the matmul."""
    case = problem.case
    x, y = torch.from_numpy(problem.x), torch.from_numpy(problem.y)
    x = torch.cat([x, torch.ones_like(x[:, :1])], 1)
    order = None if problem.order is None else torch.from_numpy(problem.order)
    groups = gathered(case.batches, x[0].nbytes)
    x_gathered = x if order is None else torch.empty((groups[0].rows.stop, x.shape[1]), dtype=x.dtype)
    y_gathered = y.clone()

    weights, w = _flat(problem, x.dtype)
    gradient, grad_w = _flat(problem, x.dtype)
    for each, (start_w, start_b) in zip(w, problem.parameters, strict=True):
        each[:, :-1], each[:, -1] = torch.from_numpy(start_w).T, torch.from_numpy(start_b)
    w_without_b = [each[:, :-1].T for each in w]
    adam = _adam(weights, gradient, case.learning_rate) if case.optimizer == "Adam" else None
    activate, backward = ACTIVATE[case.activation], BACKWARD[case.activation]
    cross_entropy = case.loss == "cross_entropy"
    # For the cross-entropy the logarithm of what softmax gave the label of each row, else the errors.
    losses = torch.empty(case.rows if cross_entropy else problem.y.size, dtype=x.dtype)
    memory: dict[int, tuple[Any, ...]] = {}

    def batch_of(rows: slice, first: int) -> Batch:
        length = rows.stop - rows.start
        if length not in memory:
            p = [torch.ones((size + 1, length), dtype=x.dtype) for size in case.sizes[1:-1]]
            outputs = torch.empty((case.sizes[-1], length), dtype=x.dtype)
            delta = [torch.empty((size, length), dtype=x.dtype) for size in case.sizes[1:]]
            memory[length] = p, [*(each[:-1] for each in p), outputs], delta
        p, a, delta = memory[length]
        x_batch = x_gathered[rows.start - first : rows.stop - first]
        if cross_entropy:
            output_delta = _cross_entropy(a[-1], delta[-1], y_gathered[rows], losses[rows])
        else:
            error = losses[rows.start * len(a[-1]) : rows.stop * len(a[-1])].view_as(a[-1])
            delta = [*delta[:-1], error]
            output_delta = _error(a[-1], y_gathered[rows].T, error)
        scale = (1 if cross_entropy else 2) / length
        rate = -case.learning_rate * scale if adam is None else scale
        return Batch([x_batch.T, *p], a, delta, output_delta, rate)

    prepared = [
        (None if order is None else order[group.rows], [batch_of(rows, group.rows.start) for rows in group.batches])
        for group in groups
    ]
    last = len(w) - 1

    def epoch() -> tuple[list[tuple[Any, Any]], float]:
        if order is not None:
            torch.index_select(y, 0, order, out=y_gathered)
        for rows, batches in prepared:
            if rows is not None:
                torch.index_select(x, 0, rows, out=x_gathered[: len(rows)])
            for p, a, delta, output_delta, rate in batches:
                for layer in range(last):
                    torch.mm(w[layer], p[layer], out=a[layer])
                    activate(a[layer])
                torch.mm(w[last], p[last], out=a[last])
                output_delta()
                for layer in range(last, -1, -1):
                    if layer:
                        torch.mm(w_without_b[layer], delta[layer], out=delta[layer - 1])
                        backward(delta[layer - 1], a[layer - 1], delta[layer - 1])
                    if adam is None:
                        w[layer].addmm_(delta[layer], p[layer].T, alpha=rate)
                    else:
                        torch.addmm(grad_w[layer], delta[layer], p[layer].T, beta=0, alpha=rate, out=grad_w[layer])
                if adam is not None:
                    adam()
        loss = -losses.mean() if cross_entropy else torch.dot(losses, losses) / case.rows
        return [(each[:, :-1].T, each[:, -1]) for each in w], loss.item()

    without_autograd: Run = torch.inference_mode()(epoch)
    return without_autograd


def _flat(problem: Problem, dtype: Any) -> tuple[Any, list[Any]]:
    """An array for all layers, and of it the (outputs, inputs + 1) of each."""
    shapes = [(w.shape[1], w.shape[0] + 1) for w, _ in problem.parameters]
    flat = torch.zeros(sum(outputs * columns for outputs, columns in shapes), dtype=dtype)
    parts = flat.split([outputs * columns for outputs, columns in shapes])
    return flat, [part.view(shape) for part, shape in zip(parts, shapes, strict=True)]


def _cross_entropy(a: Any, delta: Any, labels: Any, log_right: Any) -> Callable[[], None]:
    """delta = softmax(a) - one-hot(label), and the logarithm of what softmax gave the label."""
    index, log_right = labels.view(1, -1), log_right.view(1, -1)
    minus_one = torch.full(index.shape, -1.0, dtype=a.dtype)

    def compute() -> None:
        aten._log_softmax.out(a, 0, False, out=a)
        torch.gather(a, 0, index, out=log_right)
        torch.exp(a, out=delta)
        delta.scatter_add_(0, index, minus_one)

    return compute


def _error(a: Any, y: Any, error: Any) -> Callable[[], None]:
    def compute() -> None:
        torch.sub(a, y, out=error)

    return compute


def _adam(weights: Any, gradient: Any, learning_rate: float) -> Callable[[], None]:
    """PyTorch's own fused Adam, on one flat array."""
    m, v, step = torch.zeros_like(weights), torch.zeros_like(weights), torch.zeros((), dtype=torch.float32)
    options = {"lr": learning_rate, "beta1": 0.9, "beta2": 0.999, "weight_decay": 0.0, "eps": 1e-8}

    def update() -> None:
        step.add_(1)
        torch._fused_adam_([weights], [gradient], [m], [v], [], [step], amsgrad=False, maximize=False, **options)

    return update


def _sigmoid_backward(delta: Any, y: Any, out: Any) -> None:
    aten.sigmoid_backward.grad_input(delta, y, grad_input=out)


def _tanh_backward(delta: Any, y: Any, out: Any) -> None:
    aten.tanh_backward.grad_input(delta, y, grad_input=out)


def _relu_backward(delta: Any, y: Any, out: Any) -> None:
    aten.threshold_backward.grad_input(delta, y, 0, grad_input=out)


BACKWARD = {"sigmoid": _sigmoid_backward, "tanh": _tanh_backward, "relu": _relu_backward}


def torch_autograd(problem: Problem) -> Run:
    """PyTorch with autograd: linear layers, a loss, backward, and the fused optimizer of torch.optim.

    With foreach in place of fused Adam takes twice as long for 784-512-256-10, and SGD the same.
    """
    case, functional = problem.case, torch.nn.functional
    activate = {"sigmoid": torch.sigmoid, "tanh": torch.tanh, "relu": torch.relu}[case.activation]
    layers = [
        (torch.from_numpy(w.T.copy()).requires_grad_(), torch.from_numpy(b.copy()).requires_grad_())
        for w, b in problem.parameters
    ]
    parameters = [parameter for layer in layers for parameter in layer]
    kind: Any = getattr(torch.optim, case.optimizer)
    optimizer = kind(parameters, lr=case.learning_rate, fused=True)
    x, y = torch.from_numpy(problem.x), torch.from_numpy(problem.y)
    order = None if problem.order is None else torch.from_numpy(problem.order)

    def batches() -> Iterator[tuple[Any, Any]]:
        if order is None:
            yield x, y
            return
        for rows in order.split(case.batches[0].stop):
            yield x.index_select(0, rows), y.index_select(0, rows)

    def epoch() -> tuple[list[tuple[Any, Any]], float]:
        losses = []
        for x, y in batches():
            for w, b in layers[:-1]:
                x = activate(functional.linear(x, w, b))
            a = functional.linear(x, *layers[-1])
            if case.loss == "cross_entropy":
                loss = functional.cross_entropy(a, y)
            else:
                loss = functional.mse_loss(a, y, reduction="sum") / len(y)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            losses.append(loss.detach())
        loss = torch.dot(torch.stack(losses), lengths) / case.rows
        return [(w.detach().T, b.detach()) for w, b in layers], loss.item()

    lengths = torch.tensor([rows.stop - rows.start for rows in case.batches], dtype=x.dtype)
    return epoch
