"""Chapters 01, 02 and 07 against scikit-learn, on inputs that hypothesis makes: ties, one class only, classes that are never predicted, constant and
all-missing columns, single rows, float32 and whole numbers, lists, entries near 1e150 and 1e-150. The same examples in every run."""
import math
import warnings
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from scipy import stats
from sklearn import metrics, model_selection, preprocessing
from sklearn.calibration import calibration_curve
from sklearn.impute import KNNImputer, SimpleImputer
from sklearn.metrics.pairwise import nan_euclidean_distances
from sklearn.neighbors import KNeighborsClassifier
from sklearn.utils.class_weight import compute_class_weight

from course_lib import cleaning, measuring, preparing
from course_lib.forward import cross_entropy, forward, init_params, softmax

SCALES = (1e-150, 1e-3, 1.0, 1e6, 1e150)
seeds = st.integers(0, 2**32 - 1)


def examples(most):
    return settings(max_examples=most, derandomize=True, deadline=None, database=None, suppress_health_check=list(HealthCheck))


def theirs(f, *args, **options):
    """What scikit-learn says, without its warnings about the edge cases that are wanted here."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return f(*args, **options)


def near(got, want, size=0.0):
    """Equal to twelve digits, or to fourteen of the numbers of this size that were added up."""
    return bool((np.abs(got - want) <= 1e-12 * np.abs(want) + 1e-14 * size).all())


@st.composite
def labelled(draw, most=5, rows=25):
    """True and predicted labels of some integer type or as lists, and the number of classes; classes may be absent from one or both."""
    classes, n = draw(st.integers(1, most)), draw(st.integers(1, rows))
    y, y_hat = (draw(st.lists(st.integers(0, classes - 1), min_size=n, max_size=n)) for _ in range(2))
    dtype = draw(st.sampled_from((list, np.int64, np.int8, np.uint8, np.uint64, np.int32)))
    return (y, y_hat, classes) if dtype is list else (np.array(y, dtype), np.array(y_hat, dtype), classes)


@st.composite
def scored(draw, both=False):
    """Labels 0 or 1 and scores with few or many ties, of several types and sizes; `both`: each label at least once."""
    n, rng = draw(st.integers(2 if both else 1, 30)), np.random.default_rng(draw(seeds))
    y = np.array(draw(st.lists(st.integers(0, 1), min_size=n, max_size=n)))
    if both:
        y[:2] = 0, 1
    kind = draw(st.sampled_from(("float", "float32", "few", "same", "int8", "uint8", "bool", "close")))
    score = {"float": lambda: rng.normal(size=n) * draw(st.sampled_from(SCALES)), "float32": lambda: rng.normal(size=n).astype(np.float32),
             "few": lambda: rng.integers(0, 3, n) * draw(st.sampled_from(SCALES)), "same": lambda: np.full(n, draw(st.sampled_from(SCALES))),
             "int8": lambda: rng.integers(-128, 128, n).astype(np.int8), "uint8": lambda: rng.integers(0, 256, n).astype(np.uint8),
             "bool": lambda: rng.random(n) < 0.5, "close": lambda: 1 + rng.integers(0, 4, n) * np.finfo(float).eps}[kind]()
    dtype = draw(st.sampled_from((np.int64, np.uint8, bool, np.float32)))
    return y.astype(dtype), score


@st.composite
def table(draw, holes=False, rows=12):
    """A table of numbers, (n, d): ordinary, tied, constant, huge and tiny columns; with `holes` some cells, rows and columns are missing."""
    n, d, rng = draw(st.integers(1, rows)), draw(st.integers(1, 5)), np.random.default_rng(draw(seeds))
    columns = []
    for _ in range(d):
        kind, scale = draw(st.sampled_from(("normal", "whole", "same"))), draw(st.sampled_from(SCALES))
        columns.append({"normal": rng.normal(size=n), "whole": rng.integers(-2, 3, n), "same": np.full(n, rng.normal())}[kind] * scale)
    X = np.stack(columns, axis=1)
    if holes:
        X[rng.random((n, d)) < draw(st.sampled_from((0.0, 0.2, 0.6)))] = np.nan
        if draw(st.booleans()):
            X[:, rng.integers(d)] = np.nan
        if draw(st.booleans()):
            X[rng.integers(n)] = np.nan
    return X


@st.composite
def probabilities(draw):
    """Probabilities (n, c) and labels: soft, certain, tied and one-hot rows, in float64, float32 or whole numbers."""
    n, c, rng = draw(st.integers(1, 20)), draw(st.integers(2, 5)), np.random.default_rng(draw(seeds))
    kind = draw(st.sampled_from(("soft", "sharp", "tied", "certain")))
    logits = {"soft": lambda: rng.normal(size=(n, c)), "sharp": lambda: 50 * rng.normal(size=(n, c)), "tied": lambda: np.zeros((n, c)),
              "certain": lambda: 1e150 * np.eye(c)[rng.integers(0, c, n)]}[kind]()
    dtype = draw(st.sampled_from((np.float64, np.float32) + (int,) * (kind == "certain")))
    return softmax(logits).astype(dtype), rng.integers(0, c, n)


# chapter 07: counts and scores

@examples(150)
@given(labelled())
def test_confusion_matrix(case):
    """`confusion_matrix` equals scikit-learn's with all classes named, for every integer type, lists, and classes that are absent."""
    y, y_hat, classes = case
    assert np.array_equal(measuring.confusion_matrix(y, y_hat, classes), theirs(metrics.confusion_matrix, y, y_hat, labels=range(classes)))


@pytest.mark.parametrize(("dtype", "classes"), ((np.int8, 120), (np.uint8, 200), (np.int16, 200)))
def test_confusion_matrix_narrow_types(dtype, classes):
    """The labels fit into the type, the number of a pair of them does not; the counts are scikit-learn's all the same."""
    y, y_hat = np.random.default_rng(0).integers(0, classes, (2, 500)).astype(dtype)
    assert np.array_equal(measuring.confusion_matrix(y, y_hat, classes), metrics.confusion_matrix(y, y_hat, labels=range(classes)))


@examples(80)
@given(labelled())
def test_precision_recall_f1(case):
    """Each class's scores and the three averages equal `precision_recall_fscore_support` with zero_division=0; the matrix may be a list of lists."""
    y, y_hat, classes = case
    C = measuring.confusion_matrix(y, y_hat, classes)
    for average in (None, "macro", "weighted", "micro"):
        want = theirs(metrics.precision_recall_fscore_support, y, y_hat, labels=range(classes), average=average, zero_division=0)[:3]
        for matrix in (C, C.tolist(), C.astype(np.float32)):
            got = measuring.average_scores(matrix, average) if average else measuring.precision_recall_f1(matrix)
            assert np.allclose(got, want, rtol=1e-12, atol=0)


@examples(200)
@given(scored())
def test_curves(case):
    """`pr_curve` and `average_precision` equal scikit-learn's, ties and all types of score included; without positives they raise `ValueError`."""
    y, score = case
    if not y.any():
        with pytest.raises(ValueError, match="no positives"):
            measuring.average_precision(y, score)
        return
    plain = score.astype(np.float64)                # scikit-learn takes minus the score of unsigned numbers, too
    thresholds, precision, recall = measuring.pr_curve(y, score)
    p, r, t = theirs(metrics.precision_recall_curve, y, plain)
    assert np.array_equal(thresholds, t[::-1]) and np.allclose(precision, p[-2::-1], rtol=1e-12) and np.allclose(recall, r[-2::-1], rtol=1e-12)
    assert math.isclose(measuring.average_precision(y, score), theirs(metrics.average_precision_score, y, plain), rel_tol=1e-12)


@examples(200)
@given(scored(both=True))
def test_roc_auc(case):
    """`roc_auc` equals `roc_auc_score`, and the share of pairs that is its definition; turning the scores around gives 1 minus it."""
    y, score = case
    plain = score.astype(np.float64)
    positive, negative = plain[y == 1][:, None], plain[y == 0]
    pairs = np.mean((positive > negative) + 0.5 * (positive == negative))
    got = measuring.roc_auc(y, score)
    assert math.isclose(got, theirs(metrics.roc_auc_score, y, plain), rel_tol=1e-12, abs_tol=1e-15) and math.isclose(got, pairs, rel_tol=1e-12, abs_tol=1e-15)
    assert math.isclose(measuring.roc_auc(y, -plain), 1 - got, abs_tol=1e-12)


@examples(30)
@given(scored())
def test_one_class_has_no_auc(case):
    """With one class scikit-learn's AUC is NaN; ours raises `ValueError`."""
    y, score = case
    for only in (np.zeros_like(y), np.ones_like(y)):
        assert math.isnan(theirs(metrics.roc_auc_score, only, score))
        with pytest.raises(ValueError, match="at least one of each"):
            measuring.roc_auc(only, score)


@pytest.mark.parametrize("y", ([0.9, 0.2], [0, 2], [np.nan, 1], [-1, 1]))
def test_labels_that_are_none(y):
    """Labels other than 0 and 1 (probabilities by mistake, -1 and 1) are refused, not cut down to whole numbers."""
    with pytest.raises(ValueError, match="expected 0 and 1"):
        measuring.threshold_counts(y, [0.1, 0.2])


# chapter 07: probabilities

@examples(150)
@given(probabilities())
def test_brier_score(case):
    """`brier_score` equals `brier_score_loss` over all classes, unscaled; to six digits in float32."""
    probs, y = case
    want = theirs(metrics.brier_score_loss, y, probs.astype(np.float64), labels=range(probs.shape[1]), scale_by_half=False)
    assert math.isclose(measuring.brier_score(probs, y), want, rel_tol=1e-12 if probs.dtype != np.float32 else 1e-5, abs_tol=1e-12)
    assert measuring.brier_score(probs.tolist(), y.tolist()) == pytest.approx(want, rel=1e-5, abs=1e-12)


@examples(150)
@given(probabilities(), st.integers(1, 12))
def test_reliability(case, bins):
    """The bins equal those of `calibration_curve`, except for confidences on an edge, which belong to the upper bin here and to the lower one there."""
    probs, y = case
    confidence, right = probs.max(axis=1), probs.argmax(axis=1) == y
    edges = confidence.astype(np.float64) * bins
    count, mean, accuracy = measuring.reliability(probs, y, bins)
    assert count.sum() == len(y) and np.isnan(mean).tolist() == np.isnan(accuracy).tolist() == (count == 0).tolist()
    assert np.isclose(np.nansum(count * accuracy), right.sum()) and np.isclose(np.nansum(count * mean), confidence.sum(), rtol=1e-5)
    ece = np.nansum(count * np.abs(mean - accuracy)) / len(y)
    assert math.isclose(measuring.calibration_error(probs, y, bins), ece, abs_tol=1e-12)
    assume((np.abs(edges - np.rint(edges)) > 1e-4).all())
    full = count > 0
    assert np.allclose((accuracy[full], mean[full]), theirs(calibration_curve, right, confidence.astype(np.float64), n_bins=bins), rtol=1e-6)


@examples(60)
@given(seeds, st.integers(2, 5), st.sampled_from((0.01, 1.0, 30.0)))
def test_fit_temperature(seed, c, scale):
    """Near the fitted temperature scikit-learn's log loss is nowhere smaller, for float64 and float32 logits."""
    rng = np.random.default_rng(seed)
    y, logits = rng.integers(0, c, 60), rng.normal(size=(60, c)) * scale
    logits[np.arange(60), y] += scale
    logits[0] = -scale * np.eye(c)[y[0]]               # one row is wrong, so that there is a minimum
    T = measuring.fit_temperature(logits, y)
    loss = lambda t: metrics.log_loss(y, softmax(logits / t), labels=range(c))
    best = loss(T)
    assert all(loss(T * f) >= best - 1e-12 for f in (0.5, 0.9, 0.99, 1.01, 1.1, 2)) and math.isclose(cross_entropy(logits / T, y), best, rel_tol=1e-9)
    assert math.isclose(measuring.fit_temperature(logits.astype(np.float32), y), T, rel_tol=1e-3)


@pytest.mark.parametrize("probs", ([[0.5, 0.6]], [[np.nan, 1.0]], [[-0.5, 1.5]], [0.5, 0.5], [[]]))
def test_no_probabilities(probs):
    """Rows that do not sum to 1, NaN and negative entries are refused by every function that takes probabilities."""
    for f in (measuring.brier_score, measuring.reliability, measuring.calibration_error):
        with pytest.raises(ValueError, match="probabilities"):
            f(np.array(probs), np.array([0]))


# chapter 07: tests and intervals

@examples(80)
@given(st.integers(0, 400), st.integers(0, 400))
def test_mcnemar(only_a, only_b):
    """`mcnemar` equals SciPy's exact binomial test; with no row that tells the two apart, p is 1."""
    a = np.repeat([True, False, True, False], [only_a, only_b, 3, 2])
    b = np.repeat([False, True, True, False], [only_a, only_b, 3, 2])
    want = stats.binomtest(only_a, only_a + only_b).pvalue if only_a + only_b else 1.0
    got = measuring.mcnemar(a, b)
    assert got[:2] == (only_a, only_b) and math.isclose(got[2], want, rel_tol=1e-9)


@examples(60)
@given(st.lists(st.integers(-4, 4), min_size=1, max_size=9), st.sampled_from((0.1,) + SCALES))
def test_sign_flip(differences, scale):
    """`sign_flip_test` equals a count of all patterns in exact fractions, for ties, zeros and every scale."""
    sums = [0]
    for x in differences:
        sums = [s + x for s in sums] + [s - x for s in sums]
    want = float(Fraction(sum(abs(s) >= abs(sum(differences)) for s in sums), len(sums)))
    assert measuring.sign_flip_test(np.array(differences) * scale) == want


@examples(30)
@given(st.integers(2, 40), st.sampled_from((0.5, 0.9, 0.95)), seeds)
def test_bootstrap(n, level, seed):
    """`bootstrap_interval` equals the quantiles of the same resamples taken at once, and lies within the data."""
    values = np.random.default_rng(seed).normal(size=n)
    rows = np.random.default_rng(seed).integers(0, n, (50, n))
    want = np.quantile(values[rows].mean(axis=1), [(1 - level) / 2, (1 + level) / 2])
    got = measuring.bootstrap_interval(lambda r: values[r].mean(), n, np.random.default_rng(seed), 50, level)
    assert np.allclose(got, want, rtol=1e-9) and values.min() <= got[0] <= got[1] <= values.max()


# chapter 07: folds

def parts_of(splitter, *data):
    return [test for _, test in theirs(lambda: list(splitter.split(*data)))]


def same(ours, others):
    return len(ours) == len(others) and all(map(np.array_equal, ours, others))


@examples(80)
@given(st.integers(1, 30), st.integers(1, 12), seeds)
def test_folds(n, k, seed):
    """`folds` equals `KFold`, in order and shuffled by the same generator; both refuse k < 2 and k > n."""
    if not 2 <= k <= n:
        with pytest.raises(ValueError):
            list(model_selection.KFold(k).split(np.zeros(n)))
        with pytest.raises(ValueError, match="folds"):
            measuring.folds(n, k)
        return
    assert same(measuring.folds(n, k), parts_of(model_selection.KFold(k), np.zeros(n)))
    assert same(measuring.folds(n, k, np.random.RandomState(seed)), parts_of(model_selection.KFold(k, shuffle=True, random_state=seed), np.zeros(n)))


@examples(120)
@given(st.lists(st.sampled_from("abcd"), min_size=1, max_size=40), st.integers(2, 5), seeds, st.booleans())
def test_stratified_folds(labels, k, seed, words):
    """`stratified_folds` equals `StratifiedKFold` for words and numbers, in order and shuffled; a class with fewer than k rows is refused."""
    y = np.array(labels) if words else np.array([7 * ord(label) - 690 for label in labels])
    if min(np.unique(y, return_counts=True)[1]) < k:
        with pytest.raises(ValueError, match="smallest class"):
            measuring.stratified_folds(y, k)
        return
    assert same(measuring.stratified_folds(y, k), parts_of(model_selection.StratifiedKFold(k), y, y))
    assert same(measuring.stratified_folds(y, k, np.random.RandomState(seed)), parts_of(model_selection.StratifiedKFold(k, shuffle=True, random_state=seed), y, y))


@examples(120)
@given(st.lists(st.integers(0, 30), min_size=1, max_size=60), st.integers(2, 6), st.booleans())
def test_grouped_folds(groups, k, words):
    """`grouped_folds` equals `GroupKFold`, many groups of one size included; fewer than k groups are refused by both."""
    groups = np.array([f"group {g}" for g in groups]) if words else np.array(groups)
    if len(np.unique(groups)) < k:
        with pytest.raises(ValueError):
            list(model_selection.GroupKFold(k).split(groups, groups, groups))
        with pytest.raises(ValueError, match="groups"):
            measuring.grouped_folds(groups, k)
        return
    assert same(measuring.grouped_folds(groups, k), parts_of(model_selection.GroupKFold(k), groups, groups, groups))


@examples(8)
@given(seeds, st.integers(2, 4))
def test_cross_validate(seed, k):
    """`cross_validate` equals `cross_val_score`, and around `best_by_cv` it equals the same around `GridSearchCV`."""
    rng = np.random.default_rng(seed)
    X, y = rng.normal(size=(24, 2)), rng.permutation(np.arange(24) % 3)
    nearest = {m: lambda X, y, m=m: KNeighborsClassifier(m).fit(X, y).predict for m in (1, 3)}
    outer = model_selection.StratifiedKFold(k)
    assert np.allclose(measuring.cross_validate(nearest[3], X, y, measuring.stratified_folds(y, k)), model_selection.cross_val_score(KNeighborsClassifier(3), X, y, cv=outer), rtol=1e-12)
    grid = model_selection.GridSearchCV(KNeighborsClassifier(), {"n_neighbors": [1, 3]}, cv=model_selection.KFold(2))
    ours = measuring.cross_validate(measuring.best_by_cv(nearest, lambda y: measuring.folds(len(y), 2)), X, y, measuring.stratified_folds(y, k))
    assert np.allclose(ours, model_selection.cross_val_score(grid, X, y, cv=outer), rtol=1e-12)


# chapter 01

@examples(150)
@given(table(holes=True), table(holes=True), st.sampled_from(("mean", "median", "constant")), st.sampled_from((np.float64, np.float32)))
def test_imputer(X, Z, strategy, dtype):
    """`Imputer` equals `SimpleImputer`, columns without any value included, on the training rows and on others."""
    X, Z = (np.resize(A, (len(A), X.shape[1])) for A in (X, Z))
    if dtype == np.float32:
        X, Z = (np.where(np.abs(A) > 1e30, 1.0, A).astype(dtype) for A in (X, Z))
    ours, other = cleaning.Imputer(strategy).fit(X), SimpleImputer(strategy=strategy, keep_empty_features=True).fit(X.astype(np.float64))
    size = np.nanmax(np.abs(X), axis=0, initial=0).astype(np.float64)
    for A in (X, Z):
        before, got = A.copy(), ours.transform(A)
        assert near(got, theirs(other.transform, A.astype(np.float64)), size) and np.array_equal(A, before, equal_nan=True)


@examples(150)
@given(table(holes=True), table(holes=True))
def test_nan_distance(A, B):
    """`nan_distance` equals `nan_euclidean_distances` within the rounding of its shortcut, and exact sums where that is wanted; NaN in the same places."""
    A, B = (np.resize(M, (len(M), A.shape[1])) for M in (A, B))
    D, want = cleaning.nan_distance(A, B), theirs(nan_euclidean_distances, A, B)
    assert np.array_equal(np.isnan(D), np.isnan(want))
    size = max(np.nanmax(np.abs(M), initial=0) for M in (A, B))
    known = ~np.isnan(D)
    assert (np.abs(D - want)[known] <= 1e-6 * size * math.sqrt(A.shape[1])).all()
    for i, j in np.argwhere(known):
        gaps = [b - a for a, b in zip(A[i], B[j]) if not math.isnan(a) and not math.isnan(b)]
        assert math.isclose(D[i, j], math.hypot(*gaps) * math.sqrt(A.shape[1] / len(gaps)), rel_tol=1e-12)


@examples(100)
@given(seeds, st.integers(1, 12), st.integers(1, 4), st.integers(1, 15), st.sampled_from((0.0, 0.3, 0.7)), st.sampled_from(SCALES), st.booleans())
def test_knn_impute(seed, m, d, k, holes, scale, whole):
    """`knn_impute` equals `KNNImputer`: k beyond the number of rows, rows that share no column, empty columns. With ties only where all neighbours count.
    In a column that is empty in training, ours keeps what a new row holds; scikit-learn's overwrites it by 0."""
    rng = np.random.default_rng(seed)
    T, X = (rng.integers(0, 3, (n, d)) * scale if whole else rng.normal(size=(n, d)) * scale for n in (m, 5))
    if whole:
        k += m                                         # distances are tied: which of them are near is not defined
    for M in (T, X):
        M[rng.random(M.shape) < holes] = np.nan
    if holes == 0.7:
        T[:, 0] = np.nan
    for Z in (X, T):
        want = theirs(KNNImputer(n_neighbors=k, keep_empty_features=True).fit(T).transform, Z)
        got, missing = cleaning.knn_impute(T, Z, k), np.isnan(Z)
        assert np.allclose(got[missing], want[missing], rtol=1e-9, atol=1e-12 * scale) and np.array_equal(got[~missing], Z[~missing])


@examples(100)
@given(table(holes=True))
def test_mad(X):
    """`mad_scores` equals the distance from the median over SciPy's scaled median absolute deviation; a column without values is refused."""
    if np.isnan(X).all(axis=0).any():
        with pytest.raises(ValueError, match="at least one value"):
            cleaning.mad_scores(X)
        return
    median, mad = np.nanmedian(X, axis=0), stats.median_abs_deviation(X, axis=0, nan_policy="omit")
    with np.errstate(all="ignore"):
        want = np.where(X == median, 0, np.abs(X - median) / (cleaning.MAD_TO_SIGMA * mad))
    assert np.allclose(cleaning.mad_scores(X), want, rtol=1e-9, atol=0, equal_nan=True)
    assert np.array_equal(cleaning.mad_outliers(X, 2), np.nan_to_num(want, nan=0, posinf=np.inf) > 2)


@examples(100)
@given(st.lists(st.integers(0, 3), min_size=2, max_size=60), st.sampled_from(((0.8, 0.2), (0.5, 0.5), (0.6, 0.2, 0.2), (0.9, 0.05, 0.05))), seeds)
def test_stratified_split(labels, fractions, seed):
    """Each class is shared out as `train_test_split(stratify=...)` does, within two rows; every row once, no part empty, or `ValueError`."""
    y, rng = np.array(labels), np.random.default_rng(seed)
    try:
        parts = cleaning.stratified_split(y, fractions, rng)
    except ValueError:
        assert np.unique(y, return_counts=True)[1].min() < 20
        return
    assert np.array_equal(np.sort(np.concatenate(parts)), np.arange(len(y))) and all(map(len, parts))
    for label in np.unique(y):
        shares = np.array([np.count_nonzero(y[p] == label) for p in parts])
        assert (np.abs(shares - np.count_nonzero(y == label) * np.array(fractions)) <= 1 + 1e-9).all()
    if len(fractions) == 2:
        try:
            _, test = theirs(model_selection.train_test_split, np.arange(len(y)), test_size=fractions[1], stratify=y, random_state=seed % 1000)
        except ValueError:                             # scikit-learn wants a row of each class in its test part
            return
        assert np.abs(np.bincount(y[parts[1]], minlength=4) - np.bincount(y[test], minlength=4)).max() <= 2


# chapter 02

@examples(150)
@given(table(), table(), st.sampled_from((np.float64, np.float32, int)))
def test_min_max_scaler(X, Z, dtype):
    """`MinMaxScaler` equals scikit-learn's class on training rows and on others; a constant column becomes 0, also in float32 and whole numbers."""
    X, Z = (np.resize(A, (len(A), X.shape[1])) for A in (X, Z))
    if dtype != np.float64:
        X, Z = (np.where(np.abs(A) > 1e8, 1, A).astype(dtype) for A in (X, Z))
    ours, other = preparing.MinMaxScaler().fit(X), preprocessing.MinMaxScaler().fit(X.astype(np.float64))
    low, scale = X.min(axis=0).astype(np.float64), other.scale_
    for A in (X, Z):
        got, want = ours.transform(A), other.transform(A.astype(np.float64))
        assert got.dtype == (A.dtype if A.dtype.kind == "f" else np.float64)
        u = np.finfo(got.dtype).eps
        assert (np.abs(got - want) <= 4 * u * np.abs(want) + 4 * np.finfo(float).eps * (np.abs(low) + np.abs(A)) * scale).all()   # theirs is a difference of products
        size = np.maximum(np.abs(X).max(axis=0), np.abs(A).max(axis=0)).astype(np.float64)
        assert (np.abs(ours.inverse(got) - A) <= 8 * u * size).all()
    assert (ours.transform(X)[:, X.min(axis=0) == X.max(axis=0)] == 0).all()


@examples(200)
@given(table(), st.sampled_from((np.float64, np.float32, int)), st.booleans())
def test_standardizer(X, dtype, shared):
    """`Standardizer` equals `StandardScaler`, shared numbers equal it on all entries as one column; constant columns become 0, single rows too."""
    if dtype != np.float64:
        X = np.where(np.abs(X) > 1e8, 1, X).astype(dtype)
    ours = preparing.Standardizer(shared).fit(X)
    other = preprocessing.StandardScaler().fit(X.reshape(-1, 1).astype(np.float64) if shared else X.astype(np.float64))
    axis, d = None if shared else 0, X.shape[1]
    size, constant = (np.broadcast_to(v, d) for v in (np.abs(X).max(axis=axis).astype(np.float64), X.min(axis=axis) == X.max(axis=axis)))
    assert near(ours.center, other.mean_, size) and np.allclose(ours.scale, np.broadcast_to(other.scale_, d), rtol=1e-12, atol=0)
    got = ours.transform(X)
    u = np.finfo(got.dtype).eps
    assert (np.abs(got[:, constant]) <= u * len(X) * size[constant]).all()
    want = other.transform(X.reshape(-1, 1).astype(np.float64)).reshape(X.shape) if shared else other.transform(X.astype(np.float64))
    assert (np.abs(got - want) <= 8 * u * (np.abs(want) + size / ours.scale)).all()


@examples(100)
@given(st.lists(st.integers(0, 4), min_size=1, max_size=40), st.sampled_from((list, np.int64, np.uint8)))
def test_class_weights(labels, kind):
    """`class_weights` equals `compute_class_weight("balanced")`; a class without rows is refused."""
    y = labels if kind is list else np.array(labels, kind)
    if len(set(labels)) < max(labels) + 1:
        with pytest.raises(ValueError, match="no example of class"):
            preparing.class_weights(y)
        return
    assert np.allclose(preparing.class_weights(y), compute_class_weight("balanced", classes=np.unique(y), y=np.array(y)), rtol=1e-12)


@examples(60)
@given(seeds, st.integers(1, 12), st.integers(2, 4))
def test_weighted_loss(seed, n, c):
    """The loss of `weighted_loss_and_grads` equals `log_loss` with sample weights, times their mean; classes may be absent from the batch."""
    rng = np.random.default_rng(seed)
    params, X, y, weights = init_params((3, 4, c), rng, np.float64), rng.normal(size=(n, 3)), rng.integers(0, c, n), rng.uniform(0.1, 5, c)
    loss, _ = preparing.weighted_loss_and_grads(params, X, y, weights)
    want = metrics.log_loss(y, softmax(forward(params, X)[0]), labels=range(c), sample_weight=weights[y]) * weights[y].mean()
    assert math.isclose(loss, want, rel_tol=1e-9)


@examples(60)
@given(st.lists(st.integers(0, 3), min_size=1, max_size=40), seeds)
def test_resampling(labels, seed):
    """After `oversample` and `undersample` scikit-learn's balanced weights are all 1; every row is there at least once, or none twice."""
    y, rng = np.array(labels), np.random.default_rng(seed)
    over, under = preparing.oversample(y, rng), preparing.undersample(y, rng)
    for rows in (over, under):
        assert np.allclose(compute_class_weight("balanced", classes=np.unique(y), y=y[rows]), 1)
    assert np.array_equal(np.unique(over), np.arange(len(y))) and len(np.unique(under)) == len(under)
