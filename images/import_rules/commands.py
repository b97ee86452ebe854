"""The one order about where images may come from."""

from typing import ClassVar

from msgspec.structs import asdict

from images.import_rules.model import ImportRules, RulesForm, expect_sense
from noded.core.command import Command
from noded.core.store import Transaction


class SetImportRules(Command, frozen=True, kw_only=True, tag="image_import_rules.set.1"):
    """These rules hold from now on, for imports under way from their next connection on."""

    TOLD: ClassVar[str] = "set from where images may be imported"

    rules: RulesForm

    def apply(self, tx: Transaction) -> None:
        expect_sense(self.rules)
        tx.put(ImportRules(**asdict(self.rules)))
