"""What the runtime of this process makes of a function once, for all calls that differ in their arguments only."""

from __future__ import annotations

from jray.runtime.backend import Callee
from jray.runtime.core.messages import TaskTemplate
from jray.runtime.engine.books import Recipe, TaskBody
from jray.runtime.ids import KERNEL, NO_TASK
from jray.runtime.serde.code import Code
from jray.runtime.surroundings import Surroundings


class Prepared:
    """It holds as long as the function, its surroundings and the cell that submits are the same."""

    __slots__ = ("body", "pins", "recipe")

    def __init__(self, callee: Callee, code: Code, surroundings: Surroundings, origin: int, *, read_only: bool) -> None:
        """For tasks of this process. `read_only` is what the options may leave open."""
        options = callee.options
        template = TaskTemplate(
            callee.name,
            callee.key,
            callee.shape,
            options.num_returns,
            options.max_retries,
            0,
            NO_TASK,
            KERNEL,
            origin,
        )
        is_read_only = read_only if options.read_only is None else options.read_only
        self.recipe = Recipe(template, code, is_read_only, surroundings)
        self.pins = code.pins
        self.body = TaskBody(self.recipe)  # of all tasks without arguments

    def holds(self, code: Code, surroundings: Surroundings, origin: int) -> bool:
        """Whether it is what would be made now."""
        recipe = self.recipe
        return recipe.code is code and recipe.surroundings is surroundings and recipe.template.origin == origin
