"""Who gives wrong PINs waits, and nobody is locked out."""

from gateway.core.knocking import FORGIVEN, LONGEST_PAUSE_MS, MOST_KEYS, REMEMBERED_MS, Knocks

ANNA = ("name anna", "from 192.168.1.9")


def fail(knocks, times, now=0, keys=ANNA):
    for _ in range(times):
        knocks.fail(keys, now)


def test_a_few_mistakes_cost_nothing():
    knocks = Knocks()
    for _ in range(FORGIVEN - 1):
        assert knocks.try_now(ANNA, 0) == 0
        knocks.fail(ANNA, 0)
    assert knocks.try_now(ANNA, 0) == 0


def test_each_further_mistake_doubles_the_pause_up_to_a_bound():
    knocks, pauses = Knocks(), []
    fail(knocks, FORGIVEN - 1)
    for _ in range(6):
        knocks.fail(ANNA, 0)
        pauses.append(knocks.try_now(ANNA, 0))
    assert pauses == [1_000, 2_000, 4_000, 8_000, 10_000, 10_000]
    fail(knocks, 1_000)
    assert knocks.try_now(ANNA, 0) == LONGEST_PAUSE_MS


def test_the_pause_is_for_the_name_from_elsewhere_and_for_the_address_with_another_name():
    knocks = Knocks()
    fail(knocks, FORGIVEN)
    assert knocks.try_now(("name anna", "from 192.168.1.10"), 0) == 1_000
    assert knocks.try_now(("name bo", "from 192.168.1.9"), 0) == 1_000
    assert knocks.try_now(("name bo", "from 192.168.1.10"), 0) == 0


def test_two_tries_at_once_are_one_after_the_other():
    knocks = Knocks()
    fail(knocks, FORGIVEN + 3)
    assert knocks.try_now(ANNA, 8_000) == 0
    assert knocks.try_now(ANNA, 8_001) == 7_999
    assert knocks.try_now(ANNA, 16_000) == 0


def test_whoever_waits_is_let_in_however_many_failed_before():
    knocks = Knocks()
    fail(knocks, 10_000)
    assert knocks.try_now(ANNA, LONGEST_PAUSE_MS) == 0
    knocks.succeed(ANNA)
    assert knocks.try_now(ANNA, LONGEST_PAUSE_MS + 1) == 0
    assert not knocks.known


def test_mistakes_are_forgotten_after_a_quarter_of_an_hour():
    knocks = Knocks()
    fail(knocks, FORGIVEN + 2)
    later = REMEMBERED_MS + 1
    assert knocks.try_now(ANNA, later) == 0
    knocks.fail(ANNA, later)
    assert knocks.try_now(ANNA, later) == 0


def test_strangers_do_not_fill_the_memory():
    knocks = Knocks()
    for n in range(3 * MOST_KEYS):
        knocks.fail((f"from {n}",), 0)
    fail(knocks, 500)
    assert len(knocks.known) == MOST_KEYS
    assert max(len(knock.failures) for knock in knocks.known.values()) <= 20
