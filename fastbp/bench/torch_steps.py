"""One training step in PyTorch: by hand, with autograd, and compiled. w is kept as `torch.nn.Linear` keeps it."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch

from .cases import Problem
from .training import Run, repeated, row_blocks


def torch_step(problem: Problem, *, block_bytes: int | None = None) -> Run:
    """PyTorch without autograd: in place, sigmoid and its gradient fused, the update inside the matmul."""
    x, y = torch.from_numpy(problem.x), torch.from_numpy(problem.y)
    w, b = torch.from_numpy(problem.w.T.copy()), torch.from_numpy(problem.b.copy())
    result_w = w.T
    blocks = row_blocks(len(x), problem.x[0].nbytes, block_bytes)
    y_pred, error = torch.empty((2, blocks[0].stop, len(b)), dtype=x.dtype)
    grad_w, grad_b, block_grad_b = torch.zeros_like(w), torch.zeros_like(b), torch.zeros_like(b)
    rate_w, rate_b = -2 * problem.learning_rate, -2 * problem.learning_rate / len(x)
    sigmoid_backward = torch.ops.aten.sigmoid_backward.grad_input

    def views(block: slice) -> tuple[Any, ...]:
        length = block.stop - block.start
        return x[block], y[block], y_pred[:length], error[:length], error[:length].view(-1)

    prepared = [views(block) for block in blocks]

    @torch.inference_mode()
    def step() -> tuple[Any, Any, Any]:
        ((x, y, y_pred, error, flat_error),) = prepared
        torch.addmm(b, x, w.T, out=y_pred).sigmoid_()
        torch.sub(y_pred, y, out=error)
        cost = torch.dot(flat_error, flat_error).item()
        sigmoid_backward(error, y_pred, grad_input=error)
        w.addmm_(error.T, x, alpha=rate_w)
        b.add_(torch.sum(error, 0, out=grad_b), alpha=rate_b)
        return result_w, b, cost

    @torch.inference_mode()
    def step_in_blocks() -> tuple[Any, Any, Any]:
        grad_w.zero_()
        grad_b.zero_()
        cost = 0.0
        for x, y, y_pred, error, flat_error in prepared:
            torch.addmm(b, x, w.T, out=y_pred).sigmoid_()
            torch.sub(y_pred, y, out=error)
            cost += torch.dot(flat_error, flat_error).item()
            sigmoid_backward(error, y_pred, grad_input=error)
            grad_w.addmm_(error.T, x)
            grad_b.add_(torch.sum(error, 0, out=block_grad_b))
        w.add_(grad_w, alpha=rate_w)
        b.add_(grad_b, alpha=rate_b)
        return result_w, b, cost

    return repeated(step if len(prepared) == 1 else step_in_blocks, problem.steps)


def torch_autograd(problem: Problem) -> Run:
    """PyTorch as its users write it: linear, sigmoid, mse_loss, backward and the fused SGD."""
    x, y = torch.from_numpy(problem.x), torch.from_numpy(problem.y)
    w = torch.from_numpy(problem.w.T.copy()).requires_grad_()
    b = torch.from_numpy(problem.b.copy()).requires_grad_()
    rates = [{"params": [w], "lr": problem.learning_rate}, {"params": [b], "lr": problem.learning_rate / len(x)}]
    optimizer = torch.optim.SGD(rates, fused=True)
    result_w, result_b = w.detach().T, b.detach()

    def step() -> tuple[Any, Any, Any]:
        optimizer.zero_grad(set_to_none=True)
        cost = torch.nn.functional.mse_loss(torch.sigmoid(torch.nn.functional.linear(x, w, b)), y, reduction="sum")
        cost.backward()
        optimizer.step()
        return result_w, result_b, cost.item()

    return repeated(step, problem.steps)


def torch_compile(problem: Problem) -> Run:
    """PyTorch's compiler over the whole step; its generated C++ fuses what is elementwise."""
    torch._dynamo.config.recompile_limit = 1024  # one for each case and number of threads
    x, y = torch.from_numpy(problem.x), torch.from_numpy(problem.y)
    w, b = torch.from_numpy(problem.w.T.copy()), torch.from_numpy(problem.b.copy())
    result_w = w.T

    @partial(torch.compile, dynamic=False)
    def update(x: Any, y: Any, w: Any, b: Any, rate: float) -> Any:
        y_pred = torch.sigmoid(torch.addmm(b, x, w.T))
        error = y_pred - y
        delta = error * y_pred * (1 - y_pred)
        w.addmm_(delta.T, x, alpha=rate)
        b.add_(delta.mean(0), alpha=rate)
        return (error * error).sum()

    @torch.inference_mode()
    def step() -> tuple[Any, Any, Any]:
        return result_w, b, update(x, y, w, b, -2 * problem.learning_rate).item()

    return repeated(step, problem.steps)
