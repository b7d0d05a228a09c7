"""What an alias is made to mean, step by step, and how each step is taken back: pure functions from settings to changes of settings."""

from typing import Any

import msgspec
import pytest

from fireside.core.errors import Invalid
from fireside.gateway.experiments import Arm, Changes, Experiment, Promoted, adopt, back, begin


class House:
    """Settings that changes are applied to."""

    def __init__(self, **aliases: str) -> None:
        self.aliases = dict(aliases)
        self.experiments: dict[str, Experiment] = {}
        self.promoted: dict[str, Promoted] = {}

    def apply(self, changes: Changes) -> None:
        for path, value in changes.items():
            table: dict[str, Any] = {"models": self.aliases}.get(path[0]) or getattr(
                self, path[1] if len(path) > 2 else "aliases"
            )
            shape = {"experiments": Experiment, "promoted": Promoted}.get(path[1] if len(path) > 2 else "")
            if value is None:
                table.pop(path[-1], None)
            else:
                table[path[-1]] = msgspec.convert(value, shape) if shape else value

    def adopt(self, model: str, alias: str = "complete") -> None:
        self.apply(adopt(self.experiments, self.promoted, alias=alias, model=model, aliases=self.aliases))

    def begin(self, model: str, share: float = 0.1, alias: str = "complete") -> None:
        name = model.replace(":", "-")
        self.apply(begin(self.experiments, name, alias=alias, model=model, share=share, aliases=self.aliases))

    def back(self, alias: str = "complete") -> None:
        self.apply(back(self.experiments, self.promoted, alias))


def test_several_steps_are_taken_back_one_after_the_other():
    house = House(complete="first")
    for model in ("second", "third", "second"):
        house.adopt(model)
    seen = []
    for _ in range(3):
        house.back()
        seen.append(house.aliases["complete"])
    assert seen == ["third", "second", "first"]
    assert house.promoted == {}
    with pytest.raises(Invalid, match="nothing was ever promoted to complete"):
        house.back()


def test_what_meant_nothing_means_nothing_again():
    house = House()
    house.adopt("mine:1")
    assert house.aliases == {"complete": "mine:1"}
    house.back()
    assert house.aliases == {}


def test_each_alias_has_its_own_steps():
    house = House()
    house.adopt("a")
    house.adopt("b", "chat")
    house.back("complete")
    assert house.aliases == {"chat": "b"}


def test_a_new_model_gets_its_share_and_the_old_one_the_rest():
    house = House(complete="old@ollama")
    house.begin("mine:2", 0.25)
    arms = house.experiments["mine-2"].arms
    assert arms == {"current": Arm(model="old@ollama", weight=0.75), "new": Arm(model="mine:2", weight=0.25)}
    assert house.aliases == {"complete": "old@ollama"}


def test_where_nobody_chose_the_best_model_there_is_keeps_the_rest():
    house = House()
    house.begin("mine:2")
    assert house.experiments["mine-2"].arms["current"].model == "complete"
    with pytest.raises(Invalid, match="review means no model yet"):
        house.begin("mine:2", alias="review")


def test_promoting_an_arm_decides_its_experiment_and_can_be_taken_back():
    house = House(complete="old")
    house.adopt("older-choice")
    house.begin("mine:2")
    house.adopt("mine:2")
    assert (house.aliases["complete"], house.experiments) == ("mine:2", {})
    house.back()
    assert house.aliases["complete"] == "older-choice"
    house.back()
    assert house.aliases["complete"] == "old"


def test_taking_back_while_an_experiment_runs_ends_it_undecided():
    house = House(complete="old")
    house.begin("mine:2")
    house.back()
    assert (house.aliases, house.experiments) == ({"complete": "old"}, {})


def test_an_alias_that_is_shared_already_is_left_alone():
    house = House(complete="old")
    house.begin("mine:2")
    with pytest.raises(Invalid, match="mine-2 shares complete already"):
        house.begin("mine:3")
    with pytest.raises(Invalid, match="shares complete among old, mine:2"):
        house.adopt("mine:3")


def test_vectors_are_never_shared():
    house = House(embed="a")
    with pytest.raises(Invalid, match="vectors of two models do not compare"):
        house.begin("b", alias="embed")
