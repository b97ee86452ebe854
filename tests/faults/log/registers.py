"""What is replicated in the fault tests? Versioned registers that change by compare-and-set alone, and all they held.

They run on the product's own machine, store and cluster handle. A register belongs to an epoch, the time of one
injected fault; the values of an epoch stay until its end was judged twice.
"""

from consensus.codec import Codec
from noded.core.command import Command
from noded.core.errors import Conflict
from noded.core.record import Record
from noded.core.store import Transaction, View

History = dict[str, list[str]]


class Register(Record, frozen=True, kw_only=True, tag="register.1"):
    """`version` counts its changes; the first value has version 1."""

    INDEXED = ("epoch",)
    NOUN = "register"

    epoch: int
    version: int
    value: str


class Value(Record, frozen=True, kw_only=True, tag="value.1"):
    """What a register held at one version."""

    INDEXED = ("register",)
    NOUN = "value"

    register: str
    version: int
    value: str


class CompareAndSet(Command, frozen=True, kw_only=True, tag="register.set.1"):
    """Change a register that still has the version `expected`; refused with the version that it has."""

    register: str
    epoch: int
    expected: int
    value: str

    def apply(self, tx: Transaction) -> None:
        held = tx.get(Register, self.register)
        version = 0 if held is None else held.version
        if version != self.expected:
            raise Conflict(f"{self.register} has version {version}, not {self.expected}", code=str(version))
        version += 1
        tx.put(Register(id=self.register, epoch=self.epoch, version=version, value=self.value))
        tx.put(Value(id=f"{self.register}/{version}", register=self.register, version=version, value=self.value))


class Forget(Command, frozen=True, kw_only=True, tag="register.forget.1"):
    """Drop all that an epoch left."""

    epoch: int

    def apply(self, tx: Transaction) -> None:
        for register in tx.find(Register, "epoch", self.epoch):
            for value in tx.find(Value, "register", register.id):
                tx.delete(Value, value.id)
            tx.delete(Register, register.id)


def codec() -> Codec:
    """The encodings of all of these."""
    return Codec((CompareAndSet, Forget), (Register, Value))


def history(view: View, epoch: int) -> History:
    """What each register of an epoch held, in the order of its versions."""
    return {
        register.id: [
            value.value for value in sorted(view.find(Value, "register", register.id), key=lambda value: value.version)
        ]
        for register in view.find(Register, "epoch", epoch)
    }
