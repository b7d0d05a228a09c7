import threading
from dataclasses import dataclass

from fireside.core.events import EventBus


@dataclass(frozen=True)
class Happened:
    what: str = ""


class SomethingWorse(Happened):
    pass


def test_a_listener_hears_its_class_and_subclasses_and_nothing_else():
    bus, heard = EventBus(), []
    bus.subscribe(Happened, heard.append)
    for event in (Happened("a"), SomethingWorse("b"), "c", 4):
        bus.publish(event)
    assert heard == [Happened("a"), SomethingWorse("b")]


def test_listeners_are_called_in_the_order_they_came():
    bus, heard = EventBus(), []
    bus.subscribe(Happened, lambda event: heard.append(1))
    bus.subscribe(object, lambda event: heard.append(2))
    bus.publish(Happened())
    assert heard == [1, 2]


def test_a_listener_that_left_hears_nothing_more_and_may_leave_twice():
    bus, heard = EventBus(), []
    leave = bus.subscribe(Happened, heard.append)
    leave()
    leave()
    bus.publish(Happened())
    assert heard == []


def test_the_same_function_subscribed_twice_leaves_once_at_a_time():
    bus, heard = EventBus(), []
    leave = bus.subscribe(Happened, heard.append)
    bus.subscribe(Happened, heard.append)
    leave()
    bus.publish(Happened("once"))
    assert heard == [Happened("once")]


def test_a_failing_listener_harms_neither_the_publisher_nor_the_others():
    bus, heard = EventBus(), []

    def fail(event):
        raise RuntimeError("listener broke")

    bus.subscribe(Happened, fail)
    bus.subscribe(Happened, heard.append)
    bus.publish(Happened())
    assert heard == [Happened()]
    assert [str(error) for error in bus.failures] == ["listener broke"]


def test_the_memory_of_failures_is_bounded():
    bus = EventBus()

    def fail(event):
        raise RuntimeError(event.what)

    bus.subscribe(Happened, fail)
    for number in range(100):
        bus.publish(Happened(str(number)))
    assert len(bus.failures) == 32
    assert str(bus.failures[-1]) == "99"


def test_a_listener_may_publish_and_subscribe_while_it_listens():
    bus, heard = EventBus(), []

    def answer(event):
        bus.subscribe(str, heard.append)
        bus.publish("told")

    bus.subscribe(Happened, answer)
    bus.publish(Happened())
    assert heard == ["told"]


def test_threads_may_publish_at_once():
    bus, heard = EventBus(), []
    bus.subscribe(int, heard.append)
    threads = [threading.Thread(target=lambda: [bus.publish(number) for number in range(200)]) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(heard) == 800
    assert not bus.failures
