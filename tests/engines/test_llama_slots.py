from fireside.engines.llama_slots import ANY, Slots


def test_a_conversation_comes_back_to_its_slot_and_typing_keeps_its_own() -> None:
    slots = Slots(3)
    with slots.hold("a") as a, slots.hold("b") as b, slots.hold(None, typing=True) as typing:
        assert (a, b, typing) == (0, 1, 2)
        with slots.hold("c") as third, slots.hold("a") as again:
            assert (third, again) == (ANY, ANY)
    with slots.hold("b") as b:
        assert b == 1
        with slots.hold("a") as a:
            assert a == 0


def test_a_new_conversation_takes_the_chat_slot_used_longest_ago() -> None:
    slots = Slots(3)
    for session in ("a", "b", "a"):
        with slots.hold(session):
            pass
    with slots.hold("c") as slot:
        assert slot == 1


def test_one_slot_serves_all() -> None:
    slots = Slots(1)
    with slots.hold("a") as a:
        assert a == 0
    with slots.hold(None, typing=True) as typing:
        assert typing == 0
