"""Which pages does the bar at the top of every page lead to, in which order? One line a page. Pure."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Item:
    """One word of the bar."""

    path: str
    word: str
    administrators_only: bool = False

    def is_current(self, path: str) -> bool:
        """Whether the page at `path` is this one or below it."""
        return path == self.path or (self.path != "/" and path.startswith(f"{self.path}/"))


MENU: tuple[Item, ...] = (
    Item("/", "Overview"),
    Item("/servers", "Servers"),
    Item("/images", "Images"),
    Item("/networks", "Networks"),
    Item("/volumes", "Volumes"),
    Item("/history", "History"),
    Item("/storage", "Storage", administrators_only=True),
    Item("/application-credentials", "Credentials"),
    Item("/projects", "Projects", administrators_only=True),
    Item("/users", "Users", administrators_only=True),
    Item("/roles", "Roles", administrators_only=True),
    Item("/nodes", "Nodes", administrators_only=True),
    Item("/cluster", "Cluster", administrators_only=True),
)
