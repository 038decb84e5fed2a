"""What planted interactions of several tests have in common."""

from numpy.typing import NDArray


def liked_before(users: NDArray, items: NDArray, liked: NDArray) -> list[list[int]]:
    """Returns each row's history: the last 25 items its user liked before, oldest first."""
    held: dict[int, list[int]] = {}
    histories = []
    for user, item, positive in zip(users, items, liked, strict=True):
        histories.append(held.setdefault(user, [])[-25:])
        held[user] = [*held[user], item] if positive else held[user]
    return histories
