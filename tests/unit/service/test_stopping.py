"""A stop by signal, however often and whenever it comes."""

import os
import signal
import threading

import pytest

from service.stopping import Stop, stop_at_signals


@pytest.fixture
def handlers():
    kept = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    yield
    for number, handler in kept.items():
        signal.signal(number, handler)


def test_nothing_stops_before_it_is_told(handlers):
    stop = stop_at_signals()
    assert not stop.wait(0.01)
    assert not stop.is_set()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signals_in_a_row_while_waiting_stop_once_and_lock_nothing(handlers, number):
    stop = stop_at_signals()

    def tell():
        for _ in range(200):
            os.kill(os.getpid(), number)

    teller = threading.Timer(0.05, tell)
    teller.start()
    assert stop.wait(30)
    teller.join()
    assert stop.wait(0)


def test_a_stop_reaches_a_thread_that_waits():
    stop, told = Stop(), []
    waiting = threading.Thread(target=lambda: told.append(stop.wait(30)))
    waiting.start()
    stop.set()
    waiting.join(timeout=10)
    assert told == [True]
