"""Orders about regions."""

from typing import Any, ClassVar

import msgspec

from noded.core.command import Command
from noded.core.errors import Conflict, Forbidden, Invalid
from noded.core.store import Transaction, View
from noded.identity.attributes import changed, merged
from noded.identity.places import OWN_REGION, Region, StoredEndpoint, need_region, region_of, regions_below
from noded.identity.policies.commands import forget_region


class CreateRegion(Command, frozen=True, kw_only=True, tag="region.create.1"):
    """A new place of endpoints."""

    TOLD: ClassVar[str] = "created the region {region_id}"

    region_id: str
    description: str = ""
    parent_region_id: str | None = None
    extra: dict[str, Any] = msgspec.field(default_factory=dict)

    def apply(self, tx: Transaction) -> None:
        if region_of(tx, self.region_id) is not None:
            raise Conflict(f"Conflict occurred attempting to store region - Duplicate ID, {self.region_id}.")
        if self.parent_region_id is not None:
            need_region(tx, self.parent_region_id)
        tx.put(
            Region(
                id=self.region_id,
                description=self.description,
                parent_region_id=self.parent_region_id,
                extra=self.extra,
            )
        )


class UpdateRegion(Command, frozen=True, kw_only=True, tag="region.update.1"):
    """What shall be different from now on."""

    TOLD: ClassVar[str] = "changed the region {region_id}"

    region_id: str
    description: str | msgspec.UnsetType = msgspec.UNSET
    parent_region_id: str | msgspec.UnsetType | None = msgspec.UNSET
    extra: dict[str, Any] = msgspec.field(default_factory=dict)

    def apply(self, tx: Transaction) -> None:
        before = need_region(tx, self.region_id)
        after = changed(before, self, merged(before.extra, self.extra))
        if after.parent_region_id is not None:
            need_region(tx, after.parent_region_id)
            if after.parent_region_id in {before.id, *(region.id for region in regions_below(tx, before.id))}:
                raise Invalid(
                    f"The specified parent region {after.parent_region_id} would create a circular region hierarchy."
                )
        tx.put(after)


class DeleteRegion(Command, frozen=True, kw_only=True, tag="region.delete.1"):
    """The region goes, with those below it. No endpoint may be there."""

    TOLD: ClassVar[str] = "deleted the region {region_id}"

    FREES_ROOM: ClassVar[bool] = True

    region_id: str

    def apply(self, tx: Transaction) -> None:
        region = need_region(tx, self.region_id)
        going = [region, *regions_below(tx, region.id)]
        if any(_in_use(tx, each) for each in going):
            raise Forbidden(
                f"Unable to delete region {region.id} because it or its child regions have associated endpoints."
            )
        for each in going:
            forget_region(tx, each.id)
            tx.delete(Region, each.id)


def _in_use(view: View, region: Region) -> bool:
    return region.id == OWN_REGION or bool(view.find(StoredEndpoint, "region_id", region.id))
