"""RemoteFunction: what `@jray.remote` makes of a function."""

from __future__ import annotations

import functools
import inspect
import zlib
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, Generic, ParamSpec, TypeVar

from jray.options import TaskOptions
from jray.other_names import OF_FUNCTIONS
from jray.runtime.backend import Call, Callee, current
from jray.runtime.core.resources import shape_of
from jray.runtime.object_ref import ObjectRef
from jray.runtime.seeds import OF_MAP, derived_seed
from jray.runtime.serde.code import PackedForm
from jray.runtime.serde.unpicklable import NotPicklable

_P = ParamSpec("_P")
_T = TypeVar("_T")

_POSITIONAL = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)


class RemoteFunction(Generic[_P, _T]):
    """A function that can run in another process: `f.remote(...)` starts it and returns a reference at once.

    Its definition is looked up at each call: a task sees what the same call would see here at that moment.
    """

    def __init__(
        self,
        function: Callable[_P, _T],
        options: TaskOptions,
        *,
        is_callable_here: bool = False,
        form: PackedForm | None = None,
    ) -> None:
        """For `@jray.remote` and `%%remote`: the options are validated, the function is one that can run remotely."""
        functools.update_wrapper(self, function)
        self._function = function
        self._options = options
        self._seed = options.seed
        self._is_callable_here = is_callable_here
        amounts = {"CPU": options.num_cpus, "GPU": options.num_gpus, **options.resources}
        self._name = name = options.name or getattr(function, "__qualname__", repr(function)).rpartition("<locals>.")[2]
        key = f"{name}:{_fingerprint(function)}"
        self._callee = Callee(function, options, shape_of(amounts), name, key, form or PackedForm())
        self._signature = _Signature(function)

    def __call__(self, *args: _P.args, **kwargs: _P.kwargs) -> _T:
        """Functions of a `%%remote` cell run here when called; those of `@jray.remote` refuse, as in Ray."""
        if self._is_callable_here:
            return self._function(*args, **kwargs)
        msg = (
            f"Remote functions cannot be called directly. Instead of running '{self._name}()', "
            f"try '{self._name}.remote()': it returns a reference, and jray.get gives its value."
        )
        raise TypeError(msg)

    def remote(self, *args: Any, **kwargs: Any) -> Any:
        """Start the function in a worker process.

        References among the arguments arrive as their values; the task starts when they are there. References inside
        lists, dicts and other objects stay references.

        Returns:
            A reference to the result; a list of references for num_returns > 1; None for num_returns=0.

        Raises:
            TypeError: the arguments do not fit the function, or something can't be pickled.
        """
        signature = self._signature
        if kwargs or not signature.least <= len(args) <= signature.most:
            self._check(args, kwargs)
        return self._start(args, kwargs, self._seed)

    def _check(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        try:
            self._signature.check(args, kwargs)
        except TypeError as error:
            raise TypeError(f"{self._name}.remote() {error}. {self._signature.describe()}") from None

    def _start(self, args: tuple[Any, ...], kwargs: dict[str, Any], seed: int | None) -> Any:
        try:
            refs = current().submit(Call(self._callee, args, kwargs, seed))
        except NotPicklable as error:
            error.name_arguments(self._signature.positional())
            raise
        return refs[0] if self._options.num_returns == 1 else refs or None

    def map(self, *iterables: Iterable[Any]) -> list[Any]:
        """Start one task for each item, like the builtin `map`: through the iterables in parallel, until one ends.

        A large argument that all tasks share is stored once by `jray.put`: give `itertools.repeat(jray.put(table))`.
        (`functools.partial` is for small ones: what it holds is packed again for each task.)

        If this call is interrupted, or an item can't be sent, the references that were made by then are dropped: their
        tasks run all the same, and nobody gets their results.

        Returns:
            At once, for each item in their order, what `.remote()` gives: a reference. (With num_returns > 1 a list of
            references, with num_returns=0 None.)

        Raises:
            TypeError: nothing to go through, or the arguments do not fit the function, or something can't be pickled.
        """
        if not iterables:
            msg = f"{self._name}.map() was refused. It was given nothing to go through. Write {self._name}.map(items)."
            raise TypeError(msg)
        self._check_map(iterables)
        started = [
            self._start(args, {}, None if self._seed is None else derived_seed(OF_MAP, self._seed, index))
            for index, args in enumerate(zip(*iterables, strict=False))
        ]
        refs = [ref for made in started if made is not None for ref in (made if isinstance(made, list) else [made])]
        if refs:
            current().on_map(self._name, refs)
        return started

    def _check_map(self, iterables: tuple[Iterable[Any], ...]) -> None:
        for items in iterables:
            kind = type(items)
            if not hasattr(kind, "__iter__") and not hasattr(kind, "__getitem__"):
                name = self._name
                msg = (
                    f"{name}.map({items!r:.40}) was refused. It goes through the items of a list, a range and so on, "
                    f"and this is of type {kind.__name__}. Write {name}.map([...]), or {name}.remote(...) for one call."
                )
                raise TypeError(msg)
        try:
            self._signature.check(iterables, {})  # each gives one argument
        except TypeError as error:
            msg = (
                f"{self._name}.map() was refused: {error}. Each of its {len(iterables)} iterables gives one argument "
                f"of a call. {self._signature.describe()}"
            )
            raise TypeError(msg) from None

    def options(self, **changes: Any) -> RemoteFunction[_P, _T]:
        """The same function with some options changed; this one stays as it is.

        Raises:
            ValueError: an unknown option, or a value out of range.
            TypeError: a value of the wrong type.
        """
        merged = self._options.merged(changes)
        return RemoteFunction(self._function, merged, is_callable_here=self._is_callable_here, form=self._callee.form)

    @property
    def function(self) -> Callable[_P, _T]:
        """The function itself."""
        return self._function

    if not TYPE_CHECKING:  # else type checkers would take any attribute for one

        def __getattr__(self, name: str) -> Any:
            """What other libraries call it: the error says what to write."""
            way_out = OF_FUNCTIONS.get(name)
            told = f"{type(self).__name__!r} object has no attribute {name!r}"
            if way_out is not None:
                called = self.__dict__.get("_name", "f")
                told = f"{called} is a remote function of jray, and has no {name}. {way_out.format(it=called)}"
            raise AttributeError(told, name=name, obj=self)

    def __jray_reaches__(self) -> tuple[Any, ...]:
        """What it stands for: see serde.parts. The options never change."""
        return (self._function,)

    def __reduce__(self) -> tuple[Any, ...]:
        """By the function and the options: a worker makes its own RemoteFunction."""
        return _remote_function, (self._function, self._options, self._is_callable_here)

    def __repr__(self) -> str:
        """Its name and what to do with it."""
        return f"<remote function {self._name}: {self._name}.remote(...) starts it>"


def _remote_function(function: Callable[..., Any], options: TaskOptions, is_callable_here: bool) -> Any:  # noqa: FBT001
    return RemoteFunction(function, options, is_callable_here=is_callable_here)


def make_remote(function: Any, options: TaskOptions, *, is_callable_here: bool = False) -> RemoteFunction[..., Any]:
    """A RemoteFunction, if this can be one.

    Raises:
        TypeError: it is no function.
        ValueError: an async function, or a generator function without a number of results.
    """
    name = getattr(function, "__qualname__", repr(function))
    if isinstance(function, RemoteFunction):
        msg = f"{name} was not made remote. It is a remote function already. Use {name}.options(...) to change options."
        raise TypeError(msg)
    if isinstance(function, type):
        msg = f"{name} was not made remote. It is a class, and actors are not there yet. Make its methods functions."
        raise TypeError(msg)
    if not callable(function) or isinstance(function, ObjectRef):
        msg = f"{name} was not made remote. It is of type {type(function).__name__}. Decorate a function."
        raise TypeError(msg)
    if inspect.iscoroutinefunction(function):
        msg = (
            f"'async def' should not be used for remote tasks: {name} was not made remote. A task runs in a process of "
            "its own and needs no event loop. Use 'def', and await its ref where you call it."
        )
        raise ValueError(msg)
    if inspect.isgeneratorfunction(function) and options.num_returns == 1:
        msg = (
            f"{name} was not made remote. It is a generator function, and streaming results are not there yet. "
            "Return a list, or say how many values it yields with num_returns=n."
        )
        raise ValueError(msg)
    return RemoteFunction(function, options, is_callable_here=is_callable_here)


def check_arguments(function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any], call: str) -> None:
    """Raise TypeError, as the call would; `call` is how the message names it."""
    try:
        _Signature(function).check(args, kwargs)
    except TypeError as error:
        msg = f"{call} {error}"
        raise TypeError(msg) from None


def _fingerprint(function: Callable[..., Any]) -> str:
    """Tells versions of a function apart well enough for guessing how long it takes."""
    code = getattr(function, "__code__", None)
    return f"{zlib.crc32(code.co_code):08x}" if code is not None else ""


class _Signature:
    """Checks arguments before a task is made.

    The usual case, positional arguments from `least` to `most`, takes no binding.
    """

    __slots__ = ("_signature", "least", "most")

    def __init__(self, function: Callable[..., Any]) -> None:
        self.least, self.most = 1, 0  # "never the quick way"
        self._signature: inspect.Signature | None = None
        try:
            self._signature = inspect.signature(function)
        except (TypeError, ValueError):
            return  # a builtin without a signature: the worker will tell
        parameters = self._signature.parameters.values()
        required = [p for p in parameters if p.default is p.empty]
        if all(p.kind in _POSITIONAL for p in required):
            self.least = len(required)
            self.most = sum(p.kind in _POSITIONAL for p in parameters)

    def check(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Raise TypeError, as a call would."""
        if self._signature is None or (not kwargs and self.least <= len(args) <= self.most):
            return
        self._signature.bind(*args, **kwargs)

    def positional(self) -> list[str]:
        """The names of the parameters that can be given by position."""
        parameters = self._signature.parameters.values() if self._signature is not None else ()
        return [p.name for p in parameters if p.kind in _POSITIONAL]

    def describe(self) -> str:
        """How to call it."""
        if self._signature is not None and next(iter(self._signature.parameters), "") == "self":
            return "It was defined in a class, and tasks get no self. Write the function outside of it."
        return f"Its parameters are {self._signature}; give them to remote."
