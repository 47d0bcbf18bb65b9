"""What is loaded for good is not searched for garbage."""

import gc

import pytest

from rockcore.lazy import loaded_for_good


def test_nothing_is_searched_while_modules_load_nor_what_was_loaded_afterwards():
    before = gc.get_freeze_count()
    try:
        with pytest.raises(ModuleNotFoundError), loaded_for_good():
            assert not gc.isenabled()
            raise ModuleNotFoundError("no_such_module")
        assert gc.isenabled() and gc.get_freeze_count() > before
    finally:
        gc.unfreeze()


def test_who_wants_no_search_at_all_gets_none_afterwards_either():
    gc.disable()
    try:
        with loaded_for_good():
            pass
        assert not gc.isenabled()
    finally:
        gc.enable()
