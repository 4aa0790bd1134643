"""Work beside other work: all of it is done, whatever the second thread has to do."""

import threading

import pytest

from service.parallel import beside, both


def test_both_results_come_back_in_their_order() -> None:
    assert both(lambda: "first", lambda: "second") == ("first", "second")


def test_nobody_waits_while_the_second_thread_does_somebody_else_s_work() -> None:
    begun, released = threading.Event(), threading.Event()

    def long_work() -> None:
        begun.set()
        released.wait(10)

    other = threading.Thread(target=both, args=(begun.wait, long_work))
    other.start()
    assert begun.wait(10)
    assert both(threading.get_ident, threading.get_ident) == (threading.get_ident(),) * 2
    released.set()
    other.join()


def test_work_is_begun_before_anybody_asks_for_what_it_gives() -> None:
    begun = threading.Event()
    result = beside(begun.set)
    assert begun.wait(10)
    assert result() is None


def test_both_within_both_comes_to_an_end() -> None:
    assert both(lambda: both(lambda: 1, lambda: 2), lambda: both(lambda: 3, lambda: 4)) == ((1, 2), (3, 4))


def test_what_either_raises_is_raised() -> None:
    with pytest.raises(ZeroDivisionError):
        both(lambda: 1 / 0, lambda: 2)
    with pytest.raises(ZeroDivisionError):
        both(lambda: 1, lambda: 1 / 0)
