"""All that a ranking needs beside the LLM: who there is, what they liked, what prompts show.

It comes from the tables of a run, or from a folder that `stages.recommend.share` wrote, which holds
the same in few files and needs neither `params.yaml` nor the pipeline.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from stages.io.errors import InputError
from stages.io.params import load_section
from stages.io.paths import INTERACTIONS_FOLDER, LLM_FOLDER, adapter_folder
from stages.io.tables import ITEMS, USERS, read_json, read_table, write_table
from stages.llm.params import Score, Scoring
from stages.llm.partial_scores import read_score
from stages.llm.variants import variant_entry
from stages.prompts.content import Content, read_content
from stages.prompts.newcomers import VECTORS, Newcomers, write_liked
from stages.prompts.settings import PromptSettings, prompt_settings
from stages.prompts.text import UNKNOWN
from stages.prompts.tokenizer import prompt_limit
from stages.recommend.candidates import Ids, histories_now, met_items, read_interactions
from stages.recommend.params import Preprocess

STRANGER = 0  # uid of who is not in the data; 0 is padding elsewhere
CATALOGUE = "ranker.json"
_SHARED_ITEMS = pa.schema([("iid", pa.int32()), ("source_id", pa.string())])
_SHARED_USERS = pa.schema(
    [
        ("uid", pa.int32()),
        ("source_id", pa.string()),
        ("liked", pa.list_(pa.int32())),
        ("met", pa.list_(pa.int32())),
    ]
)


@dataclass(frozen=True)
class Catalogue:
    """What is asked about, by whom, and how.

    Attributes:
        variant: whose prompts these are.
        users: by their own ids.
        items: by their own ids.
        liked: iids by uid as of now, oldest first.
        met: iids by uid that are not new to the user.
        content: what prompts show.
        max_tokens: longest prompt.
        score: the number to rank by.
        token_budget: tokens computed at once.
        newcomers: how somebody new has a code; None where prompts show none, or none that follows
            what somebody likes.
    """

    variant: str
    users: Ids
    items: Ids
    liked: dict[int, list[int]]
    met: dict[int, NDArray]
    content: Content
    max_tokens: int
    score: Score
    token_budget: int
    newcomers: Newcomers | None = None

    @classmethod
    def of_run(cls, variant: str) -> "Catalogue":
        """Reads the tables of a run in the working folder.

        Raises:
            InputError: there is no such variant, or `dvc repro` has not run.
        """
        settings = prompt_settings(variant_entry(variant).prompts)
        keep = load_section(Preprocess, "preprocess").keep_history
        users = Ids.of(INTERACTIONS_FOLDER / "users.parquet", USERS)
        interactions = read_interactions(INTERACTIONS_FOLDER)
        return cls(
            variant=variant,
            users=users,
            items=Ids.of(INTERACTIONS_FOLDER / "items.parquet", ITEMS),
            liked=histories_now(interactions, users.number, keep),
            met=met_items(interactions),
            content=replace(read_content(settings, INTERACTIONS_FOLDER), row_codes={}),
            max_tokens=prompt_limit(LLM_FOLDER, settings.section.max_tokens),
            score=read_score(adapter_folder(variant)),
            token_budget=load_section(Scoring, "predict").token_budget,
            newcomers=_newcomers(settings, keep),
        )

    @classmethod
    def of_folder(cls, folder: Path) -> "Catalogue":
        """Reads what `write` wrote.

        Raises:
            InputError: the folder holds nothing of that kind.
        """
        path = folder / CATALOGUE
        said = read_json(path)
        try:
            content = Content(**{k: _by_number(v) for k, v in said.pop("content").items()})
            form = said.pop("newcomers", None)  # not there in folders of earlier versions
            newcomers = Newcomers.read(folder, form) if form else None
            if form and newcomers is None:
                raise InputError(f"{folder}: {VECTORS} is missing, which {CATALOGUE} speaks of")
            table = read_table(folder / "users.parquet", _SHARED_USERS).to_pandas()
            return cls(
                users=Ids.of(folder / "users.parquet", _SHARED_USERS),
                items=Ids.of(folder / "items.parquet", _SHARED_ITEMS),
                liked={u: list(i) for u, i in zip(table["uid"], table["liked"], strict=True)},
                met=dict(zip(table["uid"], table["met"], strict=True)),
                content=content,
                newcomers=newcomers,
                **said,
            )
        except (KeyError, TypeError) as error:
            raise InputError(f"{path}: not written by stages.recommend.share ({error})") from None

    def write(self, folder: Path, *, with_users: bool) -> None:
        """Writes it: `ranker.json`, `items.parquet`, `users.parquet`, and `Newcomers`, if any.

        Args:
            folder: where to.
            with_users: False leaves out who there is, what they liked, their codes and rates; such
                a folder ranks for a history that comes with the question.
        """
        content = asdict(self.content)
        users = self.users.number if with_users else np.zeros(0, dtype=np.int32)
        if not with_users:
            content |= {key: {} for key in ("user_codes", "user_rates") if content[key] is not None}
        said = {"variant": self.variant, "max_tokens": self.max_tokens, "score": self.score}
        said |= {"token_budget": self.token_budget, "content": content}
        if self.newcomers is not None:
            said["newcomers"] = self.newcomers.form
            write_liked(folder, self.newcomers.vectors, self.newcomers.history)
        text = json.dumps(said, indent=1, ensure_ascii=False)
        (folder / CATALOGUE).write_text(text + "\n", encoding="utf-8")
        items = {"iid": self.items.number, "source_id": self.items.source.to_pylist()}
        write_table(pa.table(items, _SHARED_ITEMS), folder / "items.parquet", _SHARED_ITEMS)
        table = {
            "uid": users,
            "source_id": self.users.sources(users),
            "liked": [self.liked[uid] for uid in users.tolist()],
            "met": [self.met.get(uid, np.zeros(0, np.int32)) for uid in users.tolist()],
        }
        write_table(pa.table(table, _SHARED_USERS), folder / "users.parquet", _SHARED_USERS)

    def with_stranger(self, liked: Sequence[str]) -> "Catalogue":
        """Returns the same with one more user, `STRANGER`, of whom only a history is known.

        Their code follows from that history, or is "unknown" where codes do not; their like-rate is
        average, since it is learned from rows.

        Args:
            liked: items by their own ids, oldest first.

        Raises:
            InputError: an item is not known, or there is none.
        """
        if not liked:
            raise InputError("--history: no items, expected at least one, oldest first")
        iids = [self.items.number_of(item, "--history") for item in liked]
        codes = self.content.user_codes
        if codes is not None:
            code = UNKNOWN if self.newcomers is None else self.newcomers.code(iids)
            codes = {**codes, STRANGER: code}
        return replace(
            self,
            users=self.users.joined(STRANGER, "new"),
            liked={**self.liked, STRANGER: iids},
            met={**self.met, STRANGER: np.array(iids)},
            content=replace(self.content, user_codes=codes),
        )


def _newcomers(settings: PromptSettings, keep: int | None) -> Newcomers | None:
    """Returns how somebody new has a code in these prompts, as those without train rows have.

    Args:
        settings: of the prompts.
        keep: liked items that `preprocess` keeps, of which their codes are made; None for all.
    """
    learned = settings.section.untrained_codes == "learned"
    if settings.codes_folder is None or not learned:
        return None
    found = Newcomers.read(settings.codes_folder, settings.form)
    if found is None or keep is None:
        return found
    return replace(found, history=min(found.history, keep))


def _by_number(value: Any) -> Any:
    """Returns a mapping with its keys as numbers again, which are texts in JSON."""
    return {int(key): text for key, text in value.items()} if isinstance(value, dict) else value
