"""The tape of chapter 04b against PyTorch: on programs that hypothesis invents, at ties and kinks, and where it must refuse."""
import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, note, settings as examples, strategies as st
from hypothesis.extra import numpy as nps

from course_lib.tape import RULES, Tensor, apply, unbroadcast, value_and_grads

both = lambda f: (f, f)
UNARY = {
    "-a": both(lambda a: -a), "a ** 2": both(lambda a: a**2), "1.5 - a / 3": both(lambda a: 1.5 - a / 3), "|a|": both(abs),
    "exp": (np.exp, torch.exp), "tanh": (np.tanh, torch.tanh), "sigmoid": (Tensor.sigmoid, torch.sigmoid), "relu": (Tensor.relu, torch.relu),
    "log": (lambda a: np.log(a * a + 0.5), lambda a: torch.log(a * a + 0.5)), "sqrt": (lambda a: np.sqrt(a * a + 0.5), lambda a: torch.sqrt(a * a + 0.5)),
    "reverse axes": (lambda a: a.T, lambda a: a.permute(tuple(range(a.ndim))[::-1])), "flatten": both(lambda a: a.reshape(-1)),
    "1 / a ** 2": both(lambda a: (a * a + 0.5) ** -1.0)}
BINARY = {
    "a + b": both(lambda a, b: a + b), "a - b": both(lambda a, b: a - b), "a * b": both(lambda a, b: a * b), "a / b": both(lambda a, b: a / (b * b + 0.5)),
    "where": (lambda a, b: apply(np.where, a.data > 0, a, b), lambda a, b: torch.where(a.detach() > 0, a, b))}


class Program:
    """A program that grows one operation at a time, run in both libraries."""

    def __init__(self, draw):
        self.draw, self.leaves, self.values = draw, [], []

    def leaf(self, shape):
        a = np.random.default_rng(self.draw(st.integers(0, 999))).normal(size=shape)
        pair = Tensor(a), torch.tensor(a, requires_grad=True)
        self.leaves.append(pair)
        note(f"leaf of shape {tuple(shape)}")
        return pair

    def add(self, name, operation, *operands):
        note(f"{name} of shapes {[o[0].shape for o in operands]}")
        y = tuple(f(*side) for f, side in zip(operation, zip(*operands)))
        assert y[0].shape == tuple(y[1].shape)
        if y[0].size and np.abs(y[0].data).max() > 4:
            y = np.tanh(y[0]), torch.tanh(y[1])
        self.values.append(y)

    def partner(self, shape):
        """An earlier value that broadcasts with `shape`, or a new array that does."""
        fits = [v for v in self.values if all(1 in (s, r) or s == r for s, r in zip(v[0].shape[::-1], shape[::-1]))]
        if fits and self.draw(st.booleans()):
            return self.draw(st.sampled_from(fits))
        other = self.draw(nps.broadcastable_shapes(tuple(shape), max_dims=3, max_side=4))
        return self.leaf(other)

    def grow(self):
        draw, a = self.draw, self.draw(st.sampled_from(self.values))
        shape = a[0].shape
        kind = draw(st.sampled_from(["unary", "binary", "binary", *["matmul", "reduce", "index", "transpose"] * bool(shape), *["log_softmax"] * (len(shape) == 2)]))
        if kind == "unary":
            name = draw(st.sampled_from(sorted(UNARY)))
            self.add(name, UNARY[name], a)
        elif kind == "binary":
            name = draw(st.sampled_from(sorted(BINARY)))
            self.add(name, BINARY[name], a, self.partner(shape))
        elif kind == "matmul":
            stack = draw(st.sampled_from([(), (1,), shape[-3:-2] or (2,)]))
            right = draw(st.sampled_from([(shape[-1],), (*stack, shape[-1], draw(st.integers(1, 3)))]))
            self.add("a @ b", both(lambda a, b: a @ b), a, self.leaf(right))
        elif kind == "reduce":
            axis, keepdims = draw(st.sampled_from([None, *range(-len(shape), len(shape))])), draw(st.booleans())
            axes = tuple(range(len(shape))) if axis is None else axis
            name = draw(st.sampled_from(["sum", "mean", "max"]))
            theirs = (lambda a: a.amax(axes, keepdim=keepdims)) if name == "max" else (lambda a: getattr(a, name)(axes, keepdim=keepdims))
            self.add(f"{name} over {axis}", (lambda a: getattr(a, name)(axis=axis, keepdims=keepdims), theirs), a)
        elif kind == "index":
            rows = np.array(draw(st.lists(st.integers(-shape[0], shape[0] - 1), min_size=1, max_size=4)))
            key = draw(st.sampled_from([rows, (Ellipsis, slice(0, 2)), 0, (None, rows)]))
            self.add(f"a[{key}]", both(lambda a: a[key]), a)
        elif kind == "transpose":
            axes = draw(st.permutations(range(len(shape))))
            self.add(f"transpose {axes}", (lambda a: a.transpose(*axes), lambda a: a.permute(*axes)), a)
        else:
            self.add("log_softmax", (Tensor.log_softmax, lambda a: torch.log_softmax(a, 1)), a)

    def losses(self):
        return [sum((v * v).mean() for v in side[-4:]) for side in zip(*self.values)]


@examples(max_examples=500, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck))
@given(st.data())
def test_agrees_with_torch_on_random_programs(data):
    """Every gradient of a random program with broadcasting, to 1e-10 of its largest entry or of 1."""
    program = Program(data.draw)
    program.values.append(program.leaf(data.draw(nps.array_shapes(min_dims=0, max_dims=3, max_side=4))))
    for _ in range(data.draw(st.integers(1, 12))):
        program.grow()
    ours, theirs = program.losses()
    ours.backward()
    theirs.backward()
    assert abs(ours.item() - theirs.item()) <= 1e-10 * max(1, abs(theirs.item()))
    for mine, its in program.leaves:
        if its.grad is None:
            assert mine.grad is None
            continue
        want = its.grad.numpy()
        assert mine.grad.shape == want.shape and mine.grad.dtype == np.float64
        assert np.abs(mine.grad - want).max() <= 1e-10 * max(1, np.abs(want).max())


@examples(max_examples=200, deadline=None, derandomize=True, database=None)
@given(nps.array_shapes(min_dims=0, max_dims=4, max_side=4), st.data())
def test_unbroadcast_undoes_broadcast(shape, data):
    """For every pair of shapes: the sum over the copies, as PyTorch's sum_to_size has it."""
    stretched = np.broadcast_shapes(shape, data.draw(nps.broadcastable_shapes(shape, max_dims=4, max_side=4)))
    g = np.random.default_rng(0).normal(size=stretched)
    assert np.allclose(unbroadcast(g, shape), torch.tensor(g).sum_to_size(shape).numpy(), rtol=0, atol=1e-12)


@pytest.mark.parametrize("dtype", (np.float32, np.float64))
def test_type_is_kept(dtype):
    """Values and gradients have the type of the parameters, whatever numbers the program mixes in."""
    a = Tensor(np.array([[0.5, -1.0], [2.0, 0.25]], dtype))
    y = (np.exp(a) / 3 + 2 * a @ a.T - a.max(axis=0) ** 2 + a.mean() + a[[0, 0]] + a.log_softmax() * a.sigmoid()).sum()
    y.backward()
    assert y.dtype == dtype and all(t.dtype == t.grad.dtype == dtype for t in y.history())


def test_ties_and_kinks():
    """At equal entries and at 0, where no slope exists, the tape makes PyTorch's choice."""
    a = np.array([[2.0, 2.0, -1.0], [0.0, 0.0, 0.0]])
    for ours, theirs in ((Tensor.relu, torch.relu), (abs, abs), (lambda t: t.max(axis=1), lambda t: t.amax(1)), (Tensor.max, torch.amax)):
        mine, its = Tensor(a), torch.tensor(a, requires_grad=True)
        ours(mine).sum().backward()
        theirs(its).sum().backward()
        assert np.allclose(mine.grad, its.grad.numpy(), rtol=0, atol=1e-15)


def test_long_chain():
    """No recursion: neither the backward pass nor giving the memory back has a limit of depth."""
    x = y = Tensor(np.array([1.0]))
    for _ in range(20_000):
        y = y + x
    y.backward()
    assert x.grad == 20_001
    del y


def test_each_call_starts_anew():
    x = Tensor(np.array([1.0, 2.0]))
    y = (x * x).sum()
    for _ in range(2):
        y.backward()
        assert np.array_equal(x.grad, [2.0, 4.0])


def test_gradients_own_their_memory():
    """Changing one gradient in place changes no other, and no value."""
    a, b = Tensor(np.ones((2, 3))), Tensor(np.ones((2, 3)))
    y = (a + b).sum()
    y.backward()
    a.grad *= 7
    assert np.array_equal(b.grad, np.ones((2, 3))) and y.grad == 1


def test_every_operation_is_in_the_chapter():
    """A rule is worth something only if the chapter compares it with central differences: its name stands in the table."""
    assert {f.__name__ for f in RULES} == {"add", "subtract", "multiply", "divide", "power", "negative", "absolute", "maximum", "where", "exp", "log", "sqrt",
                                           "tanh", "sigmoid", "log_softmax", "matmul", "max", "sum", "mean", "reshape", "transpose", "getitem"}


@pytest.mark.parametrize("slip, says", [
    (lambda m: m.backward(), "one number"), (lambda m: m.backward(np.ones(4)), "seed of shape"), (lambda m: Tensor(np.arange(3)), "float32 or float64"),
    (lambda m: m + np.ones(3), r"add of shapes \[\(2, 4\), \(3,\)\]"), (lambda m: m @ np.ones((2, 4)), "matmul of shapes"), (lambda m: m.reshape(3, 3), "reshape"),
    (lambda m: np.sin(m), "sin has no rule"), (lambda m: np.concatenate([m, m]), "concatenate has no rule"), (lambda m: np.add(m, 1, out=np.ones((2, 4))), "takes no out"),
    (lambda m: 2.0**m, "argument 2"), (lambda m: np.asarray(m), "leave the tape"), (lambda m: float(m.sum()), "leave the tape"),
    (lambda m: value_and_grads(lambda p: p["a"].sum().item(), {"a": m.data}), "returned float"),
    (lambda m: value_and_grads(lambda p: p["a"] * 2, {"a": m.data}), "one number")])
def test_refuses(slip, says):
    with pytest.raises((TypeError, ValueError), match=says):
        slip(Tensor(np.ones((2, 4))))
