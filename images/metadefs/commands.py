"""How namespaces of metadata definitions come, change and go. A change says all that is then in the namespace."""

from typing import ClassVar, Final

import msgspec
from msgspec.structs import asdict, replace

from images.metadefs.model import Association, Group, Namespace, Property, Tag, Visibility
from noded.core.command import Command
from noded.core.errors import Conflict, Forbidden, NotFound
from noded.core.ids import ProjectId
from noded.core.store import Transaction, View

CHANGED: Final = "NamespaceChanged"  # the code of the refusal: look at the namespace again, and propose again
NAMESPACES_MAX: Final = 512
NAMESPACE_BYTES_MAX: Final = 96 * 1024  # a change says all of it, and must fit into one entry of the log


class NamespaceForm(msgspec.Struct, frozen=True, kw_only=True):
    """What users may write in a namespace, all of it."""

    name: str
    display_name: str | None = None
    description: str | None = None
    visibility: Visibility = Visibility.PRIVATE
    protected: bool = False
    project_id: ProjectId
    properties: dict[str, Property] = msgspec.field(default_factory=dict)
    objects: dict[str, Group] = msgspec.field(default_factory=dict)
    tags: dict[str, Tag] = msgspec.field(default_factory=dict)
    associations: dict[str, Association] = msgspec.field(default_factory=dict)

    @classmethod
    def of(cls, namespace: Namespace) -> "NamespaceForm":
        """What is written in `namespace` now."""
        return cls(**{field: getattr(namespace, field) for field in cls.__struct_fields__})


def namespace_named(view: View, name: str) -> Namespace:
    """The namespace of that name; raises `NotFound`."""
    found = view.find(Namespace, "name", name)
    if not found:
        raise NotFound.of(Namespace.NOUN, name)
    return found[0]


class CreateNamespace(Command, frozen=True, kw_only=True, tag="metadef_namespace.create.1"):
    """A new namespace, with what it starts with."""

    TOLD: ClassVar[str] = "created the metadata definition namespace {form[name]}"

    namespace_id: str
    form: NamespaceForm
    now_ms: int

    def apply(self, tx: Transaction) -> None:
        _check(tx, self.form, None)
        if len(tx.all(Namespace)) >= NAMESPACES_MAX:
            raise Forbidden(f"There are {NAMESPACES_MAX} metadata definition namespaces, the limit. Delete some first.")
        tx.put(
            Namespace(id=self.namespace_id, created_at_ms=self.now_ms, updated_at_ms=self.now_ms, **asdict(self.form))
        )


class ChangeNamespace(Command, frozen=True, kw_only=True, tag="metadef_namespace.change.1"):
    """New contents of a namespace. Refused if somebody else changed them since they were read."""

    TOLD: ClassVar[str] = "changed the metadata definition namespace {form[name]}"

    namespace_id: str
    generation: int
    form: NamespaceForm
    now_ms: int

    def apply(self, tx: Transaction) -> None:
        namespace = tx.need(Namespace, self.namespace_id)
        if namespace.generation != self.generation:
            message = f"Namespace {namespace.name} was changed by somebody else at the same time. Try again."
            raise Conflict(message, code=CHANGED)
        _check(tx, self.form, namespace)
        tx.put(replace(namespace, generation=namespace.generation + 1, updated_at_ms=self.now_ms, **asdict(self.form)))


class DeleteNamespace(Command, frozen=True, kw_only=True, tag="metadef_namespace.delete.1"):
    """A namespace goes with all that is defined in it, unless it is protected."""

    TOLD: ClassVar[str] = "deleted the metadata definition namespace {namespace_id}"

    FREES_ROOM: ClassVar[bool] = True

    namespace_id: str

    def apply(self, tx: Transaction) -> None:
        namespace = tx.need(Namespace, self.namespace_id)
        if namespace.protected:
            raise Forbidden(
                f"Metadata definition namespace {namespace.name} is protected. Remove its protection first."
            )
        tx.delete(Namespace, namespace.id)


def _check(tx: Transaction, form: NamespaceForm, before: Namespace | None) -> None:
    if (before is None or before.name != form.name) and tx.find(Namespace, "name", form.name):
        raise Conflict(f"The metadata definition namespace {form.name} exists already; choose another name.")
    if len(msgspec.msgpack.encode(form)) > NAMESPACE_BYTES_MAX:
        raise Forbidden(f"A namespace has room for {NAMESPACE_BYTES_MAX} bytes. Put the rest into another one.")
