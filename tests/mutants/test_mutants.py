"""The mutants keep up with the code: `make mutants` shows that each is found."""

import ast

import pytest

from tests.mutants.patches import ROOT, DoesNotApply, Mutant, load_all, mutated

MUTANTS = load_all()


def test_there_are_enough_of_them_and_each_breaks_something() -> None:
    assert len(MUTANTS) >= 25
    assert all(mutant.what and mutant.breaks for mutant in MUTANTS)


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_each_applies_changes_something_and_is_python(mutant: Mutant) -> None:
    for name, text in mutated(mutant).items():
        assert text != (ROOT / name).read_text()
        ast.parse(text)


@pytest.mark.parametrize("mutant", [one for one in MUTANTS if one.test], ids=lambda mutant: mutant.name)
def test_the_test_that_is_to_find_it_exists(mutant: Mutant) -> None:
    path, _, name = mutant.test.partition("::")
    assert f"def {name.partition('[')[0]}(" in (ROOT / path).read_text()


def test_one_that_no_longer_applies_is_an_error_that_names_it() -> None:
    stale = Mutant("stale", "x", "I1", "memory", "", {"gateway/core.py": [("no such text\n", "")]})
    with pytest.raises(DoesNotApply, match=r"mutants/stale.patch: its text is in gateway/core.py 0 times"):
        mutated(stale)
