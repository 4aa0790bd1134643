"""Pictures that arrive together are read side by side or as a batch, each as if it were alone, and none is lost."""

import asyncio
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import ExitStack, contextmanager

import numpy as np
import numpy.typing as npt
import pytest
from fastapi import Request
from starlette.requests import ClientDisconnect

from service.api.workers import Workers
from service.errors import Busy, NotReady, TimedOut
from service.machine import usable_cores
from service.model.engine import Engine
from service.model.package import ModelPackage
from service.model.prediction import Prediction
from service.model.providers import Provider
from service.model.runtimes import load
from service.model.session import Session, open_lanes, open_session
from service.segmenter import Segmenter
from service.ticket import Abandoned, Ticket
from training.phantom import draw_phantom

Pixels = npt.NDArray[np.uint8]
PATIENCE_S = 600.0


@pytest.fixture(scope="module")
def pictures(package: ModelPackage) -> list[Pixels]:
    from service.model.prepare import prepare

    return [prepare(draw_phantom(seed).pixels, package.manifest.input).pixels for seed in range(5)]


@pytest.fixture(scope="module")
def alone(package: ModelPackage, pictures: list[Pixels]) -> list[Prediction]:
    """What the model says of each picture by itself."""
    session = open_session(package, "cpu")
    return [session.run(picture[np.newaxis])[0] for picture in pictures]


class Gate:
    """Real runs of the model that wait until they are let through, and are counted."""

    def __init__(self, package: ModelPackage) -> None:
        self._run = load(package.folder / package.manifest.files[0].path, "cpu", 1, spinning=False, lanes=1)
        self.opened = threading.Event()
        self.entered = threading.Semaphore(0)
        self.sizes: list[int] = []

    def run(self, pixels: Pixels) -> list[npt.NDArray[np.uint8]]:
        self.sizes.append(len(pixels))
        self.entered.release()
        assert self.opened.wait(60)
        return self._run(pixels)


@contextmanager
def engine(session: Session, alongside: Session | None = None, places: int = 16) -> Iterator[Engine]:
    running = Engine(session, alongside, places)
    try:
        yield running
    finally:
        running.close()


def ask(running: Engine, picture: Pixels, ticket: Ticket | None = None) -> Prediction:
    """As a request does."""
    running.admit()
    try:
        return running.predict(picture, ticket or Ticket(PATIENCE_S))
    finally:
        running.leave()


@contextmanager
def busy_gpu(
    package: ModelPackage, picture: Pixels
) -> Iterator[tuple[Engine, Gate, ThreadPoolExecutor, "Future[Prediction]"]]:
    """An engine that takes batches and reads one picture, which did not wait for company, until its gate is opened."""
    gate = Gate(package)
    session = Session(gate.run, package.manifest.files[0], batches=(1, 2, 4))
    with engine(session) as running, ThreadPoolExecutor(5) as callers:
        first = callers.submit(ask, running, picture)
        assert gate.entered.acquire(timeout=60)
        yield running, gate, callers, first


def same(one: Prediction, other: Prediction) -> bool:
    return bool(np.array_equal(one.tooth, other.tooth) and np.array_equal(one.foreground, other.foreground))


@pytest.mark.parametrize("provider", ["cpu", "openvino"])
def test_pictures_that_arrive_together_are_each_read_as_if_alone(
    package: ModelPackage, pictures: list[Pixels], provider: Provider
) -> None:
    session = open_session(package, provider, threads=2)
    expected = [session.run(picture[np.newaxis])[0] for picture in pictures]
    with engine(session, open_lanes(package, session, 2)) as running, ThreadPoolExecutor(5) as callers:
        answers = list(callers.map(lambda picture: ask(running, picture), pictures * 4))
    assert all(same(*both) for both in zip(answers, expected * 4, strict=True))


@contextmanager
def busy_processor(
    package: ModelPackage, picture: Pixels
) -> Iterator[tuple[Engine, Gate, Gate, ThreadPoolExecutor, "Future[Prediction]"]]:
    """An engine of two cores that reads one picture with both, until the first of its two gates is opened."""
    every, one_each = Gate(package), Gate(package)
    sessions = Session(every.run, package.manifest.files[0]), Session(one_each.run, package.manifest.files[0], lanes=2)
    with engine(*sessions) as running, ThreadPoolExecutor(12) as callers:
        first = callers.submit(ask, running, picture)
        assert every.entered.acquire(timeout=60)
        yield running, every, one_each, callers, first


def test_many_pictures_have_one_core_each_two_at_once(package: ModelPackage, pictures: list[Pixels]) -> None:
    with busy_processor(package, pictures[0]) as (running, every, one_each, callers, first):
        others = [callers.submit(ask, running, picture) for picture in pictures[1:4] * 3]
        until(lambda: running.under_way == 10)
        assert not one_each.entered.acquire(timeout=0.2)  # the first has every core until it is done
        every.opened.set()
        first.result()
        for _ in range(2):
            assert one_each.entered.acquire(timeout=60)
        one_each.opened.set()
        wait(others)
        until(lambda: running.under_way == 0)
        with_every_core = len(every.sizes)
        ask(running, pictures[0])
    assert len(every.sizes) == with_every_core + 1  # alone again
    assert len(one_each.sizes) >= 2
    assert len(every.sizes) + len(one_each.sizes) == 11


def test_what_waits_for_its_turn_is_told_as_waiting(package: ModelPackage, pictures: list[Pixels]) -> None:
    with busy_processor(package, pictures[0]) as (running, every, one_each, callers, first):
        one_each.opened.set()
        ticket = Ticket(PATIENCE_S)
        second = callers.submit(ask, running, pictures[1], ticket)
        until(lambda: running.under_way == 2 and running._entries.empty())  # a thread has taken it, and has no core
        assert running.waiting == 1
        held_s = 1.0
        threading.Event().wait(held_s)
        every.opened.set()
        wait([first, second])
        assert running.waiting == 0
    assert ticket.clock.read_ms()["queue"] >= 1000 * held_s > ticket.clock.read_ms()["infer"]


def test_a_handful_has_every_core_in_turn_unless_there_are_always_many(
    package: ModelPackage, pictures: list[Pixels]
) -> None:
    with busy_processor(package, pictures[0]) as (running, every, one_each, callers, _):
        one_each.opened.set()
        handful = [callers.submit(ask, running, picture) for picture in pictures[1:4]]
        until(lambda: running.under_way == 4)
        every.opened.set()
        wait(handful)
        assert (len(every.sizes), len(one_each.sizes)) == (4, 0)
        wait([callers.submit(ask, running, picture) for picture in pictures * 4])
        until(lambda: running.under_way == 0)
        every.opened.clear()
        before = len(one_each.sizes)
        with_every_core = callers.submit(ask, running, pictures[0])
        until(lambda: running.under_way == 1)
        handful = [callers.submit(ask, running, picture) for picture in pictures[1:4]]
        until(lambda: running.under_way == 4)
        every.opened.set()
        wait([*handful, with_every_core])
    assert len(one_each.sizes) > before


def test_what_waits_for_a_gpu_goes_as_one_batch_and_what_is_alone_waits_for_none(
    package: ModelPackage, pictures: list[Pixels], alone: list[Prediction]
) -> None:
    with busy_gpu(package, pictures[0]) as (running, gate, callers, first):
        others = [callers.submit(ask, running, picture) for picture in pictures[1:4]]
        until(lambda: running.waiting == 3)
        gate.opened.set()
        answers = [each.result() for each in (first, *others)]
    assert gate.sizes == [1, 4]  # three, filled up to a size that is known
    assert all(same(*both) for both in zip(answers, alone[:4], strict=True))


def test_of_a_batch_those_that_nobody_waits_for_cost_nothing(
    package: ModelPackage, pictures: list[Pixels], alone: list[Prediction]
) -> None:
    with busy_gpu(package, pictures[0]) as (running, gate, callers, first):
        gone, late = Ticket(PATIENCE_S), Ticket(0.5)
        abandoned = callers.submit(ask, running, pictures[1], gone)
        too_late = callers.submit(ask, running, pictures[2], late)
        stays = callers.submit(ask, running, pictures[3])
        until(lambda: running.waiting == 3)
        gone.abandon()
        with pytest.raises(TimedOut, match="it waited for its turn"):
            too_late.result()
        gate.opened.set()
        with pytest.raises(Abandoned):
            abandoned.result()
        assert same(stays.result(), alone[3])
        first.result()
    assert gate.sizes == [1, 1]


def test_a_run_that_fails_fails_its_own_requests_and_no_other(package: ModelPackage, pictures: list[Pixels]) -> None:
    gate = Gate(package)
    gate.opened.set()

    def fail_once(pixels: Pixels) -> list[npt.NDArray[np.uint8]]:
        if not gate.sizes:
            gate.sizes.append(0)
            raise MemoryError
        return gate.run(pixels)

    with engine(Session(fail_once, package.manifest.files[0])) as running:
        with pytest.raises(MemoryError):
            ask(running, pictures[0])
        ask(running, pictures[0])


def test_what_is_in_the_queue_when_it_closes_is_finished(package: ModelPackage, pictures: list[Pixels]) -> None:
    gate = Gate(package)
    running = Engine(Session(gate.run, package.manifest.files[0], batches=(1, 2)), None, 16)
    with ThreadPoolExecutor(5) as callers:
        asked = [callers.submit(ask, running, pictures[0])]
        assert gate.entered.acquire(timeout=60)
        asked += [callers.submit(ask, running, picture) for picture in pictures[1:4]]
        until(lambda: running.waiting == 3)
        closing = callers.submit(running.close)
        gate.opened.set()
        closing.result()
        assert all(isinstance(each.result(), Prediction) for each in asked)
    with pytest.raises(NotReady):
        ask(running, pictures[0])


def test_a_model_that_is_closed_is_freed_by_who_closes_it(package: ModelPackage, pictures: list[Pixels]) -> None:
    run = load(package.folder / package.manifest.files[0].path, "cpu", 1, spinning=False, lanes=1)
    freed = weakref.ref(run)
    session = Session(run, package.manifest.files[0])
    del run
    with engine(session) as running:
        ask(running, pictures[0])
        assert freed() is not None
    assert freed() is None
    assert session.execution_provider == "CPUExecutionProvider"  # an answer that is being written tells it still


def until(holds: Callable[[], bool]) -> None:
    pause = threading.Event()
    for _ in range(6000):
        if holds():
            return
        pause.wait(0.01)
    raise AssertionError("it never came to that")


def test_who_waits_for_a_thread_is_told_so_and_the_work_of_one_who_has_gone_by_then_is_not_begun(
    segmenter: Segmenter,
) -> None:
    workers, may_end, done, let_go = Workers(16), threading.Event(), list[str](), list[int]()
    engine, threads = segmenter.engine, usable_cores() + 1

    async def try_out() -> None:
        hangs_up, waited = asyncio.Event(), Ticket(PATIENCE_S)

        def ask(ticket: Ticket, hangs_up: asyncio.Event, work: Callable[[], object]) -> "asyncio.Task[object]":
            async def receive() -> dict[str, object]:
                await hangs_up.wait()
                return {"type": "http.disconnect"}

            request, held = Request({"type": "http"}, receive), ExitStack()
            held.callback(let_go.append, 1)
            answer = workers.run(request, segmenter, ticket, lambda *_: work(), held, long=False)
            return asyncio.create_task(answer)

        at_work = [ask(Ticket(PATIENCE_S), asyncio.Event(), may_end.wait) for _ in range(threads)]
        gone = ask(Ticket(PATIENCE_S), hangs_up, lambda: done.append("gone"))
        stays = ask(waited, asyncio.Event(), lambda: done.append("stays"))
        async with asyncio.timeout(60):
            while workers.to_begin != 2:
                await asyncio.sleep(0.01)
            hangs_up.set()
            with pytest.raises(ClientDisconnect):
                await gone
            await asyncio.sleep(0.2)
            # His place is taken until his turn, and so is what his upload holds.
            assert (engine.under_way, let_go) == (threads + 2, [])
            may_end.set()
            await asyncio.gather(*at_work, stays)
            while engine.under_way:
                await asyncio.sleep(0.01)
        assert (done, workers.to_begin, sum(let_go)) == (["stays"], 0, threads + 2)
        assert waited.clock.read_ms()["queue"] >= 200

    asyncio.run(try_out())
    assert workers.close(10)


def test_a_deadline_counts_from_when_the_request_began() -> None:
    Ticket(60, begun=time.perf_counter() - 50).check()
    late = Ticket(60, begun=time.perf_counter() - 61)
    assert late.remaining_s == 0
    with pytest.raises(TimedOut):
        late.check()


def test_there_are_as_many_places_as_are_said_and_one_given_back_is_free(package: ModelPackage) -> None:
    with engine(Session(Gate(package).run, package.manifest.files[0]), places=2) as running:
        for _ in range(2):
            running.admit()
        with pytest.raises(Busy, match=r"All 2 places are taken; send the radiograph again in 1 s\."):
            running.admit()
        running.leave()
        running.admit()


def test_who_finds_no_place_is_told_to_wait_the_longer_the_longer_pictures_take(
    package: ModelPackage, pictures: list[Pixels]
) -> None:
    gate = Gate(package)
    with engine(Session(gate.run, package.manifest.files[0]), places=100) as running, ThreadPoolExecutor(1) as callers:
        told = []
        for _ in range(2):
            for _ in range(100):
                running.admit()
            with pytest.raises(Busy) as refused:
                running.admit()
            told.append(refused.value.retry_after_s)
            for _ in range(100):
                running.leave()
            slow = callers.submit(ask, running, pictures[0])
            threading.Event().wait(0.5)
            gate.opened.set()
            slow.result()
    assert told[0] == 10
    assert 13 < told[1] < 100


def test_a_batch_is_no_larger_than_the_largest_that_is_known_and_leaves_nothing_waiting(
    package: ModelPackage, pictures: list[Pixels]
) -> None:
    with busy_gpu(package, pictures[0]) as (running, gate, callers, first), ThreadPoolExecutor(1) as another:
        others = [callers.submit(ask, running, picture) for picture in pictures[1:]]
        others.append(another.submit(ask, running, pictures[0]))
        until(lambda: running.waiting == 5)
        gate.opened.set()
        wait([first, *others])
        assert gate.sizes == [1, 4, 1]
        assert running.waiting == 0
