"""Main effects: what a user and an item explain each by themselves, as log-odds and as words.

A logistic regression on who was asked about what, of train rows only; an item's effect may lean on
what the words of its title tell, which is all that is known of an item without train rows, and on
how often it was rated: who chooses an item tends to like it, so frequent ones are liked more. An
effect that a train row's own label went into would tell the answer, so what stands in the prompts
of train rows is out of fold: fitted to the train rows of the other folds. Rows of one user and
history lie in one fold, so that their prompts still share a prefix.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from scipy.sparse import csr_matrix, hstack

from stages.io.errors import InputError

Floats = NDArray[np.float64]
Ids = NDArray[np.integer]

# Of the mean gradient, where the optimizer stops: scores are settled to about six digits.
TOLERANCE = 1e-6
# In a prompt an effect is one digit: a small LLM reads two as two words, and the second as noise.
LOWEST, AVERAGE, HIGHEST = 1, 5, 9
STEP = 0.6  # log-odds from digit to digit: beyond 1 and 9 lies one effect in a hundred
# Thirds of a step below, at and above a digit, as in school grades. A sign tells the same beside
# every digit, so that there are but two more words to learn.
_SIGNS = ("-", "", "+")


@dataclass(frozen=True)
class MainEffects:
    """Log-odds of a like = intercept + the user's effect + the item's effect.

    Effects count from a user and an item without train rows. What a fit goes on from with weight
    decay, it pulls there: what is rated seldom to what is never, not to what is average.

    Attributes:
        intercept: log-odds where user and item are unknown.
        users: (n_users + 1,) effects; 0 for who has no train row, and for padding.
        items: (n_items + 1,) effects, likewise, but with what titles and popularity tell of them.
        iterations: of the optimizer.
        n_words: how many words of titles have an effect.
        popularity: log-odds that an item gains as log(1 + its train rows) rises by 1; None where
            that plays no part.
    """

    intercept: float
    users: Floats
    items: Floats
    iterations: int
    n_words: int = 0
    popularity: float | None = None

    @property
    def parameters(self) -> int:
        """Numbers that were fitted, padding left out."""
        shared = self.n_words + (self.popularity is not None)
        return 1 + len(self.users) - 1 + len(self.items) - 1 + shared

    def logits(self, users: Ids, items: Ids) -> Floats:
        """Returns the (n,) log-odds of rows of (n,) users and items."""
        return self.intercept + self.users[users] + self.items[items]

    def vectors(self) -> dict[str, Floats]:
        """Returns `users` (n_users + 1, 2) and `items` (n_items + 1, 2); products are log-odds."""
        users = np.stack([self.intercept + self.users, np.ones_like(self.users)], axis=1)
        items = np.stack([np.ones_like(self.items), self.items], axis=1)
        return {"users": users, "items": items}


def title_words(titles: Sequence[str], weight: float) -> csr_matrix:
    """Returns (n_items + 1, n_words): which words stand in each item's title; row 0 is padding.

    A word is a run of letters, digits and _, capitals or not, a year as well, that stands in two
    titles or more. A row that has any has the length `weight`, whatever their number: the greater,
    the more of an item's effect is put down to its title, and so to others with these words.

    Args:
        titles: of items 1..n_items.
        weight: at least 0; 0 = there are no words.
    """
    if not weight:
        return csr_matrix((len(titles) + 1, 0))
    from sklearn.feature_extraction.text import TfidfVectorizer  # seconds, for who does fit alone

    counter = TfidfVectorizer(token_pattern=r"\w+", min_df=2, binary=True, use_idf=False)
    try:
        return csr_matrix(weight * counter.fit_transform(["", *titles]))
    except ValueError:  # no word stands in two titles
        return csr_matrix((len(titles) + 1, 0))


def fit_main_effects(
    users: Ids,
    items: Ids,
    labels: NDArray,
    *,
    n_users: int,
    n_items: int,
    c: float,
    words: csr_matrix | None = None,
    popularity: bool = False,
) -> MainEffects:
    """Fits intercept and effects to train rows: convex, so there is one answer and no seed.

    Args:
        users: (n,) uid of each row, from 1.
        items: (n,) iid, likewise.
        labels: (n,) 0 or 1.
        n_users: users have ids 1..n_users.
        n_items: items have ids 1..n_items.
        c: inverse strength of the L2 penalty on effects; the intercept has none.
        words: (n_items + 1, n_words) of the items' titles; None leaves titles out.
        popularity: whether an item's effect leans on how many of the rows are about it. A row
            itself does not count for it, so that an item of one row shows what none does.

    Raises:
        InputError: the rows have one label only.
    """
    positive = int(np.sum(labels))
    if not 0 < positive < len(labels):
        raise InputError(
            f"train: {positive} of {len(labels)} rows are positive; a fit needs both labels"
        )
    from sklearn.linear_model import LogisticRegression  # seconds, for who does fit alone

    # Second order: a second for a million rows without words, where L-BFGS takes half a minute.
    model = LogisticRegression(C=c, tol=TOLERANCE, max_iter=1_000, solver="newton-cg")
    asked = one_hot(users, items, n_users, n_items)
    if words is None:
        words = csr_matrix((n_items + 1, 0))
    n_words = words.shape[1]
    counts = np.bincount(items, minlength=n_items + 1)
    others = np.log1p(counts[items] - 1)[:, None]
    told = [asked, words[items]] + ([csr_matrix(others)] if popularity else [])
    model.fit(hstack(told, format="csr"), labels)
    of_users, of_items, of_words, of_popularity = np.split(
        model.coef_[0], np.cumsum([n_users + 1, n_items + 1, n_words])
    )
    effects = of_items + words @ of_words
    if popularity:
        effects += of_popularity * np.log1p(counts)
    return MainEffects(
        float(model.intercept_[0]),
        of_users,
        effects,
        int(model.n_iter_[0]),
        n_words,
        float(of_popularity[0]) if popularity else None,
    )


def one_hot(users: Ids, items: Ids, n_users: int, n_items: int) -> csr_matrix:
    """Returns (n, n_users + 1 + n_items + 1): a 1 for a row's user, and behind them its item."""
    n, width = len(users), n_users + 1
    columns = np.stack([users, width + items], axis=1).ravel()
    shape = (n, width + n_items + 1)
    return csr_matrix((np.ones(2 * n), columns, np.arange(0, 2 * n + 1, 2)), shape=shape)


@dataclass(frozen=True)
class FoldedEffects:
    """Main effects as they may stand in prompts.

    Attributes:
        of_all: fitted to all train rows: for all other rows.
        users: (n_train,) the user's effect of each train row, its own fold left out.
        items: (n_train,) the item's effect, likewise.
        intercepts: (n_train,) log-odds where both are unknown, likewise.
    """

    of_all: MainEffects
    users: Floats
    items: Floats
    intercepts: Floats


def fit_out_of_fold(
    train: pa.Table,
    *,
    n_users: int,
    n_items: int,
    c: float,
    words: csr_matrix | None = None,
    folds: int,
    rng: np.random.Generator,
) -> FoldedEffects:
    """Fits main effects to all train rows, and once more for each fold to those of the others.

    Args:
        train: (n_train,) rows with uid, iid, label and history.
        n_users: users have ids 1..n_users.
        n_items: items have ids 1..n_items.
        c: inverse strength of the L2 penalty.
        words: (n_items + 1, n_words) of the items' titles; None leaves titles out.
        folds: how many there are.
        rng: deals the rows out to folds.

    Raises:
        InputError: all rows, or those of all folds but one, have one label only.
    """
    users, items, labels = (train[name].to_numpy() for name in ("uid", "iid", "label"))
    fold = fold_of_rows(train, folds, rng)

    def fitted(rows: NDArray[np.bool_]) -> MainEffects:
        chosen = users[rows], items[rows], labels[rows]
        return fit_main_effects(*chosen, n_users=n_users, n_items=n_items, c=c, words=words)

    of_all = fitted(np.ones(len(train), dtype=np.bool_))
    found = np.zeros((3, len(train)))
    for number in np.unique(fold):
        own = fold == number
        effects = fitted(~own)
        found[0, own] = effects.users[users[own]]
        found[1, own] = effects.items[items[own]]
        found[2, own] = effects.intercept
    return FoldedEffects(of_all, *found)


def fold_of_rows(interactions: pa.Table, folds: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Deals groups of equal user and history out to folds at random, as evenly as can be.

    Args:
        interactions: (n,) rows with uid and history.
        folds: how many there are.
        rng: source of the deal.

    Returns:
        (n,) fold of each row, from 0.
    """
    columns = interactions.select(["uid", "history"]).to_pydict()
    numbers: dict[tuple[int, ...], int] = {}
    group = [
        numbers.setdefault((uid, *history), len(numbers))
        for uid, history in zip(*columns.values(), strict=True)
    ]
    return (rng.permutation(len(numbers)) % folds)[group]


def levels(effects: Floats, number: int) -> list[str]:
    """Returns effects as they stand in a prompt; 5 is average.

    Args:
        effects: (n,) log-odds.
        number: how many levels there are: 9 (1 to 9) or 27 (1- to 9+).
    """
    parts = number // (HIGHEST - LOWEST + 1)  # of a step: 1 or 3
    most = number // 2
    found = np.clip(np.rint(effects * parts / STEP), -most, most).astype(int) + most
    digits, signs = np.divmod(found, parts)
    written = _SIGNS if parts > 1 else ("",)
    return [
        f"{LOWEST + digit}{written[sign]}"
        for digit, sign in zip(digits.tolist(), signs.tolist(), strict=True)
    ]
