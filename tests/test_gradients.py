"""Every gradient of the library: central differences in float64 (1e-6), PyTorch in float64 (1e-10) and float32 (1e-5), relative errors."""
import importlib
import inspect
import re

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from conftest import SETTINGS, module_of
from course_lib import backprop, compression, convolution, forward, generalisation, preparing
from course_lib.backprop import numeric_gradient, relative_error

SIZES = (5, 4, 6, 3)      # inputs, two hidden layers, classes: no two alike
N = 7


def away_from_kinks(a, by=0.05):
    """Entries nearer to zero than `by` are moved out: there a central difference measures both sides of a kink."""
    return np.where(np.abs(a) < by, by * np.sign(a) + 2 * by * (a == 0), a)


def data(rng, dtype):
    draw = lambda *shape: away_from_kinks(rng.normal(size=shape)).astype(dtype)
    return draw, rng.integers(0, SIZES[-1], N)


def mlp(rng, dtype):
    params = forward.init_params(SIZES, rng, dtype)
    for name in params:
        if name.startswith("b"):
            params[name] += rng.normal(0, 0.3, params[name].shape).astype(dtype)
    return params


def mlp_logits(t, X, masks=None):
    A = X
    for l in range(1, len(SIZES)):
        Z = A @ t[f"W{l}"] + t[f"b{l}"]
        A = torch.relu(Z) * (1 if masks is None or l == len(SIZES) - 1 else masks[l - 1])
    return Z


def elementwise(f, d, theirs):
    """A case for a function of one array: the loss is the sum of its values, weighted."""
    def case(rng, dtype):
        draw, _ = data(rng, dtype)
        Z, R = draw(N, 4), draw(N, 4)
        return dict(Z=Z), lambda a: float((R * f(a["Z"])).sum()), lambda a: dict(Z=R * d(a["Z"])), lambda t: (torch.tensor(R) * theirs(t["Z"])).sum()
    return case


def d_mse(rng, dtype):
    draw, _ = data(rng, dtype)
    Y = draw(N, 3)
    return dict(Y=draw(N, 3)), lambda a: forward.mse(a["Y"], Y), lambda a: dict(Y=backprop.d_mse(a["Y"], Y)), lambda t: F.mse_loss(t["Y"], torch.tensor(Y))


def d_bce_from_logits(rng, dtype):
    draw, _ = data(rng, dtype)
    y = rng.random(N).astype(dtype)
    return (dict(z=3 * draw(N)), lambda a: forward.bce_from_logits(a["z"], y), lambda a: dict(z=backprop.d_bce_from_logits(a["z"], y)),
            lambda t: F.binary_cross_entropy_with_logits(t["z"], torch.tensor(y)))


def d_cross_entropy(rng, dtype):
    draw, y = data(rng, dtype)
    return (dict(Z=2 * draw(N, 3)), lambda a: forward.cross_entropy(a["Z"], y), lambda a: dict(Z=backprop.d_cross_entropy(a["Z"], y)),
            lambda t: F.cross_entropy(t["Z"], torch.tensor(y)))


def d_distillation_loss(rng, dtype):
    draw, _ = data(rng, dtype)
    T, teacher = 2.5, 3 * draw(N, 3)
    theirs = lambda t: T**2 * F.kl_div((t["Z"] / T).log_softmax(1), (torch.tensor(teacher) / T).softmax(1), reduction="batchmean")
    return dict(Z=2 * draw(N, 3)), lambda a: compression.distillation_loss(a["Z"], teacher, T), lambda a: dict(Z=compression.d_distillation_loss(a["Z"], teacher, T)), theirs


def dense_backward(rng, dtype):
    draw, _ = data(rng, dtype)
    R = draw(N, 3)
    return (dict(X=draw(N, 4), W=draw(4, 3), b=draw(3)), lambda a: float((R * forward.dense(**a)).sum()),
            lambda a: dict(zip(("X", "W", "b"), backprop.dense_backward(R, a["X"], a["W"]))), lambda t: (torch.tensor(R) * (t["X"] @ t["W"] + t["b"])).sum())


def of_mlp(function, theirs):
    def case(rng, dtype):
        draw, y = data(rng, dtype)
        X = draw(N, SIZES[0])
        return mlp(rng, dtype), lambda a: function(a, X, y)[0], lambda a: function(a, X, y)[1], lambda t: theirs(t, torch.tensor(X), torch.tensor(y))
    return case


cross_entropy = lambda t, X, y: F.cross_entropy(mlp_logits(t, X), y)
WEIGHTS = np.array([0.5, 2.0, 1.3])


def backward(params, X, y):
    logits, cache = forward.forward(params, X)
    return forward.cross_entropy(logits, y), backprop.backward(params, cache, backprop.d_cross_entropy(logits, y))


def dropout(rng, dtype):
    draw, y = data(rng, dtype)
    X, masks = draw(N, SIZES[0]), generalisation.dropout_masks(SIZES[1:-1], N, 0.4, rng, dtype)
    ours = lambda a: generalisation.dropout_loss_and_grads(a, X, y, masks)
    return mlp(rng, dtype), lambda a: ours(a)[0], lambda a: ours(a)[1], lambda t: F.cross_entropy(mlp_logits(t, torch.tensor(X), [torch.tensor(m) for m in masks]), torch.tensor(y))


def penalty(function, theirs):
    def case(rng, dtype):
        params = {k: away_from_kinks(p).astype(dtype) for k, p in mlp(rng, dtype).items()}
        return params, lambda a: function(a, 0.3)[0], lambda a: function(a, 0.3)[1], lambda t: 0.3 * sum(theirs(w) for k, w in t.items() if k.startswith("W")) + 0 * sum(w.sum() for w in t.values())
    return case


def col2im(rng, dtype):
    draw, _ = data(rng, dtype)
    X = draw(2, 3, 6, 5)
    R = draw(*convolution.im2col(X, 3, 2, 1).shape)
    theirs = lambda t: (torch.tensor(R).reshape(2, -1, 27) * F.unfold(t["X"], 3, stride=2, padding=1).transpose(1, 2)).sum()
    return dict(X=X), lambda a: float((R * convolution.im2col(a["X"], 3, 2, 1)).sum()), lambda a: dict(X=convolution.col2im(R, X.shape, 3, 2, 1)), theirs


def conv2d_backward(rng, dtype):
    draw, _ = data(rng, dtype)
    arrays = dict(X=draw(2, 3, 7, 6), W=draw(4, 3, 3, 3), b=draw(4))
    R = draw(*convolution.conv2d(**arrays, stride=2, padding=1).shape)
    return (arrays, lambda a: float((R * convolution.conv2d(**a, stride=2, padding=1)).sum()), lambda a: dict(zip(("X", "W", "b"), convolution.conv2d_backward(R, a["X"], a["W"], stride=2, padding=1))),
            lambda t: (torch.tensor(R) * F.conv2d(t["X"], t["W"], t["b"], stride=2, padding=1)).sum())


def max_pool_backward(rng, dtype):
    X = rng.permutation(2 * 3 * 5 * 6).reshape(2, 3, 5, 6).astype(dtype) / 10      # no two entries are near each other
    R = rng.normal(size=(2, 3, 2, 3)).astype(dtype)
    return dict(X=X), lambda a: float((R * convolution.max_pool(a["X"])).sum()), lambda a: dict(X=convolution.max_pool_backward(R, a["X"])), lambda t: (torch.tensor(R) * F.max_pool2d(t["X"], 2)).sum()


def cnn(rng, dtype):
    X, y = rng.random((3, 784)).astype(dtype), rng.integers(0, 10, 3)

    def theirs(t):
        A = torch.relu(F.conv2d(torch.tensor(X).reshape(-1, 1, 28, 28), t["W1"], t["b1"], stride=2, padding=1))
        A = torch.relu(F.conv2d(A, t["W2"], t["b2"], stride=2, padding=1)).reshape(3, -1)
        return F.cross_entropy(A @ t["W3"] + t["b3"], torch.tensor(y))
    return convolution.init_cnn(rng, dtype), lambda a: convolution.cnn_loss_and_grads(a, X, y)[0], lambda a: convolution.cnn_loss_and_grads(a, X, y)[1], theirs


CASES = {
    "d_sigmoid": elementwise(forward.sigmoid, lambda Z: backprop.d_sigmoid(forward.sigmoid(Z)), torch.sigmoid), "d_tanh": elementwise(forward.tanh, lambda Z: backprop.d_tanh(forward.tanh(Z)), torch.tanh),
    "d_relu": elementwise(forward.relu, backprop.d_relu, torch.relu),
    "d_swish": elementwise(lambda Z: forward.swish(Z, 1.7), lambda Z: backprop.d_swish(Z, 1.7), lambda t: t * torch.sigmoid(1.7 * t)),
    "d_mse": d_mse, "d_bce_from_logits": d_bce_from_logits, "d_cross_entropy": d_cross_entropy, "d_distillation_loss": d_distillation_loss, "dense_backward": dense_backward,
    "backward": of_mlp(backward, cross_entropy), "loss_and_grads": of_mlp(backprop.loss_and_grads, cross_entropy),
    "weighted_loss_and_grads": of_mlp(lambda a, X, y: preparing.weighted_loss_and_grads(a, X, y, WEIGHTS),
                                      lambda t, X, y: (F.cross_entropy(mlp_logits(t, X), y, reduction="none") * torch.tensor(WEIGHTS, dtype=X.dtype)[y]).mean()),
    "dropout_loss_and_grads": dropout, "l2_penalty": penalty(generalisation.l2_penalty, lambda w: (w**2).sum() / 2), "l1_penalty": penalty(generalisation.l1_penalty, lambda w: w.abs().sum()),
    "col2im": col2im, "conv2d_backward": conv2d_backward, "max_pool_backward": max_pool_backward, "cnn_loss_and_grads": cnn,
}


def test_no_gradient_is_forgotten():
    """Whatever the chapters export under the name of a gradient has a case here; the tape has tests of its own."""
    found = set()
    for chapter in SETTINGS.chapters:
        module = importlib.import_module(f"course_lib.{module_of(chapter)}")
        found |= {n for n, f in vars(module).items() if inspect.isfunction(f) and f.__module__ == module.__name__ and re.search(r"^d_|^[a-z].*(backward|_grads|_penalty)$|^backward$|^col2im$", n)}
    assert found - {"value_and_grads"} == set(CASES)


@pytest.mark.parametrize("name", CASES)
def test_central_differences(name):
    for seed in range(3):
        arrays, loss, grads, _ = CASES[name](np.random.default_rng(seed), np.float64)
        ours = grads(arrays)
        assert ours.keys() == arrays.keys()
        for key, a in arrays.items():
            if a.size > 200:        # 50 entries are enough of a large array
                places = [tuple(int(i) for i in np.unravel_index(p, a.shape)) for p in np.random.default_rng(seed).choice(a.size, 50, replace=False)]
                moved = [numeric_gradient(lambda: loss(arrays), a[p[:-1]][p[-1]:p[-1] + 1])[0] for p in places]
                assert relative_error(np.array([ours[key][p] for p in places]), np.array(moved)) <= 1e-6, key
            else:
                assert relative_error(ours[key], numeric_gradient(lambda: loss(arrays), a)) <= 1e-6, key


@pytest.mark.parametrize("dtype, bound", [(np.float64, 1e-10), (np.float32, 1e-5)], ids=["float64", "float32"])
@pytest.mark.parametrize("name", CASES)
def test_pytorch(name, dtype, bound):
    for seed in range(5):
        arrays, loss, grads, theirs = CASES[name](np.random.default_rng(seed), dtype)
        tensors = {k: torch.tensor(a, requires_grad=True) for k, a in arrays.items()}
        value = theirs(tensors)
        value.backward()
        assert abs(loss(arrays) - value.item()) <= bound * max(1, abs(value.item()))
        for key, g in grads(arrays).items():
            assert g.dtype == dtype, f"{key} changed its type to {g.dtype}"
            assert relative_error(g, tensors[key].grad.numpy()) <= bound, key
