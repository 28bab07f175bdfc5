"""ObjectRef: the handle that keeps an object alive.

A ref knows its id and its owner: the runtime of this process, which counts it. Pickling a ref notes its id in the list
of the value being packed; unpickling one asks the runtime of the process for a counted ref.
"""

from __future__ import annotations

import threading
from collections.abc import Generator
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

from jray.exceptions import ObjectLostError
from jray.runtime.ids import ObjectId, TaskId, task_of, to_hex
from jray.runtime.interrupts import shielded
from jray.runtime.ref_misuse import refuses_use_as_value

if TYPE_CHECKING:  # asyncio alone takes 40 ms to import; who awaits has it
    import asyncio
    from concurrent.futures import Future

_T = TypeVar("_T")


class RefOwner(Protocol):
    """Who counts refs. All methods are safe from any thread; `release` also from a finalizer."""

    def retain(self, object_id: ObjectId) -> None:
        """One ref more will exist in this process."""

    def release(self, object_id: ObjectId) -> None:
        """One ref less exists. Only appends to a queue."""

    def future(self, ref: ObjectRef[Any]) -> Future[Any]:
        """The value, when it is there."""


class RecountingOwner(RefOwner, Protocol):
    """An owner that can count a ref whose object may have been freed."""

    def recount(self, object_id: ObjectId) -> bool:
        """One ref more, if there is anything left to refer to; False: the object was freed."""


class Uncounted:
    """In the place of a ref's owner: the ref keeps nothing alive. Its first use counts it, if it is not too late."""

    __slots__ = ("_claims", "_lost", "owner")

    def __init__(self, owner: RecountingOwner, lost: str) -> None:
        """`lost` is the error's message, for a use that comes too late."""
        self.owner = owner
        self._lost = lost
        self._claims = [None]  # whoever pops it has made the ref a counted one: no other thread may

    @shielded
    def count(self, ref: ObjectRef[Any]) -> None:
        """The ref is used: from now on it is like any other.

        Raises:
            ObjectLostError: its object was freed.
        """
        if not self.owner.recount(ref._id):  # noqa: SLF001 - of this room
            raise ObjectLostError(self._lost)
        try:
            self._claims.pop()
        except IndexError:  # another thread was faster: its count is the ref's
            self.owner.release(ref._id)  # noqa: SLF001
        else:
            ref._owner = self.owner  # noqa: SLF001

    def retain(self, object_id: ObjectId) -> None:
        """As the owner does."""
        self.owner.retain(object_id)

    def release(self, object_id: ObjectId) -> None:
        """Nothing was counted."""

    def future(self, ref: ObjectRef[Any]) -> Future[Any]:
        """As the owner does; it is a use."""
        self.count(ref)
        return self.owner.future(ref)


@refuses_use_as_value
class ObjectRef(Generic[_T]):
    """A reference to a result that may not be there yet. `jray.get(ref)` gives the value.

    It can be given to other tasks as an argument (they receive the value), put into other objects, compared, hashed
    and awaited. As long as any ref to it exists, the object is kept. Used as if it were the value (`ref + 1`,
    `len(ref)`, `ref.shape`), it raises TypeError or AttributeError, and says how to get the value.
    """

    __slots__ = ("__weakref__", "_id", "_owner")

    def __init__(self, object_id: ObjectId, owner: RefOwner) -> None:
        """For the runtime: the owner has already counted this ref."""
        self._id = object_id
        self._owner = owner

    @shielded
    def __del__(self) -> None:
        """Only append to a queue: finalizers run at any moment, also inside our own code."""
        self._owner.release(self._id)

    def __repr__(self) -> str:
        """As in Ray: the class and the id."""
        return f"ObjectRef({to_hex(self._id)})"

    def __hash__(self) -> int:
        """Equal refs have equal hashes."""
        return hash(self._id)

    def __eq__(self, other: object) -> bool:
        """Whether both name the same object."""
        return isinstance(other, ObjectRef) and other._id == self._id

    def __copy__(self) -> ObjectRef[_T]:
        """A ref is immutable: its copy is itself."""
        return self

    def __deepcopy__(self, memo: object) -> ObjectRef[_T]:
        """A ref is immutable: its copy is itself."""
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        """Note the id in the value that is being packed, so that it keeps the object alive."""
        owner_of(self)
        refs = getattr(_packing, "refs", None)
        if refs is None:  # pickled by somebody else's pickle: we can't know for how long. Ray pins it for ever, too
            _pinned_for_ever.add(self)
        else:
            refs.append(self._id)
        return _restore, (self._id,)

    def hex(self) -> str:
        """The id as hexadecimal digits."""
        return to_hex(self._id)

    def binary(self) -> bytes:
        """The id as bytes."""
        return bytes.fromhex(to_hex(self._id))

    def is_nil(self) -> bool:
        """Always False: jray makes no nil refs."""
        return False

    def task_id(self) -> TaskId:
        """The id of the task whose result this is."""
        return task_of(self._id)

    def future(self) -> Future[_T]:
        """A concurrent.futures.Future of the value. Cancelling it does not cancel the task."""
        return self._owner.future(self)

    def as_future(self) -> asyncio.Future[_T]:
        """An asyncio future of the value, in the running loop. Cancelling it does not cancel the task."""
        import asyncio

        return asyncio.wrap_future(self.future())

    def __await__(self) -> Generator[Any, None, _T]:
        """`await ref` gives the value, or raises the task's error."""
        return self.as_future().__await__()


_new_ref = object.__new__
_packing = threading.local()
_pinned_for_ever: set[ObjectRef[Any]] = set()
_owner_of_process: RefOwner | None = None


def uncounted(object_id: ObjectId, owner: RecountingOwner, lost: str) -> ObjectRef[Any]:
    """A ref that does not keep its object alive until it is used; `lost` is what a use that comes too late says."""
    return ObjectRef(object_id, Uncounted(owner, lost))


def is_counted(ref: ObjectRef[Any]) -> bool:
    """Whether this ref keeps its object alive."""
    return type(ref._owner) is not Uncounted  # noqa: SLF001 - of this room


def owner_of(ref: ObjectRef[Any]) -> RefOwner:
    """Who counts this ref, which is being used: one that was not counted is from now on.

    Raises:
        ObjectLostError: it was not counted, and its object was freed.
    """
    owner = ref._owner  # noqa: SLF001 - of this room
    if type(owner) is Uncounted:
        owner.count(ref)
        return owner.owner
    return owner


def begin_collecting() -> tuple[list[ObjectId], list[ObjectId] | None]:
    """While a value is packed in this thread, the ids of the refs inside it go into a list.

    Returns:
        The list, and what `end_collecting` must be given: packing may happen inside packing.
    """
    outer: list[ObjectId] | None = getattr(_packing, "refs", None)
    refs: list[ObjectId] = []
    _packing.refs = refs
    return refs, outer


def end_collecting(outer: list[ObjectId] | None) -> None:
    """The value is packed."""
    _packing.refs = outer


def set_owner(owner: RefOwner | None) -> None:
    """Say who counts the refs that are unpickled in this process."""
    global _owner_of_process  # noqa: PLW0603 - there is one runtime in a process
    _owner_of_process = owner
    if owner is None:
        _pinned_for_ever.clear()


@shielded
def _restore(object_id: ObjectId) -> ObjectRef[Any]:
    owner = _owner_of_process
    if owner is None:
        msg = (
            f"The reference {to_hex(object_id)} could not be loaded. No jray runtime is running in this process. "
            "Call jray.init() first; references do not outlive the runtime that made them."
        )
        raise RuntimeError(msg)
    owner.retain(object_id)  # first: an interrupt in between then costs memory, not the object
    ref = _new_ref(ObjectRef)  # not by calling the class: a value may hold thousands, and that takes twice as long
    ref._id, ref._owner = object_id, owner  # noqa: SLF001 - our own
    return ref
