"""Ranks in a program: the LLM is loaded once, and answers as often as it is asked.

from stages.recommend.ranker import Ranker
ranker = Ranker.of_run("codes")          # in the project, after `dvc repro`
ranker = Ranker.load("shared/codes")     # anywhere: what `stages.recommend.share` wrote
ranker.top("42", 10)                     # a table: user, item, title, score, rank
ranker.top_for(["190", "511"], 10)       # someone new, who liked these, oldest first
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

from stages.io.params import load_section
from stages.io.paths import LLM_FOLDER, adapter_folder
from stages.llm.adapters import load_adapter
from stages.llm.load import Llm, load_llm
from stages.llm.params import Precision, Scoring
from stages.recommend.candidates import Pairs, new_pairs
from stages.recommend.catalogue import STRANGER, Catalogue
from stages.recommend.outputs import ranked
from stages.recommend.scores import score_pairs


@dataclass(frozen=True)
class Ranker:
    """An LLM with its adapter, and all that it is asked about.

    Attributes:
        llm: ready to score.
        catalogue: users, items and what prompts show.
    """

    llm: Llm
    catalogue: Catalogue

    @classmethod
    def of_run(cls, variant: str) -> "Ranker":
        """Loads a variant of the run in the working folder.

        Raises:
            InputError: there is no such variant, or `dvc repro` has not run.
        """
        return cls.of_catalogue(Catalogue.of_run(variant))

    @classmethod
    def of_catalogue(cls, catalogue: Catalogue) -> "Ranker":
        """Loads the LLM for a catalogue of the run in the working folder."""
        llm = load_llm(LLM_FOLDER, precision=load_section(Scoring, "predict").precision)
        return cls(load_adapter(llm, adapter_folder(catalogue.variant)), catalogue)

    @classmethod
    def load(cls, folder: Path | str, *, precision: Precision = "auto") -> "Ranker":
        """Loads what `stages.recommend.share` wrote; needs nothing else of the project.

        Args:
            folder: the folder.
            precision: of the weights; `auto` chooses by what the hardware multiplies natively.

        Raises:
            InputError: it is no such folder.
        """
        catalogue = Catalogue.of_folder(Path(folder))
        return cls(load_llm(Path(folder), precision=precision), catalogue)

    def top(self, user: str, k: int = 10) -> pd.DataFrame:
        """Returns the k best of all items that are new to a user (columns of `RANKED`).

        Args:
            user: by the id that the data's owner gave them.
            k: how many.

        Raises:
            InputError: the user is not known, or no item is new to them.
        """
        return self.rank(self.new_to([self.catalogue.users.number_of(user)])).head(k)

    def top_for(self, liked: Sequence[str], k: int = 10) -> pd.DataFrame:
        """Returns the k best of all other items for someone who is not in the data.

        Args:
            liked: items that they like by their own ids, oldest first.
            k: how many.

        Raises:
            InputError: an item is not known, or there is none.
        """
        asked = replace(self, catalogue=self.catalogue.with_stranger(liked))
        return asked.rank(asked.new_to([STRANGER])).head(k)

    def new_to(self, uids: Iterable[int]) -> Pairs:
        """Returns (n, 2) users by uid, ascending, with all items that are new to them."""
        return new_pairs(self.catalogue.met, uids, self.catalogue.items)

    def rank(self, pairs: Pairs, scratch: Path | None = None) -> pd.DataFrame:
        """Scores pairs and ranks each user's items, best first.

        Args:
            pairs: (n, 2) uid and iid, ascending.
            scratch: where a cut run finds what it had; None keeps nothing and shows no progress.

        Returns:
            The columns of `RANKED`, by uid and rank.
        """
        known = self.catalogue
        scores = score_pairs(
            self.llm,
            pairs,
            {uid: known.liked[uid] for uid in np.unique(pairs[:, 0]).tolist()},
            known.content,
            max_tokens=known.max_tokens,
            score=known.score,
            token_budget=known.token_budget,
            scratch=scratch,
        )
        return ranked(pairs, scores, known.users, known.items, known.content.titles)
