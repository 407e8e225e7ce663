"""What is done about a pause that the account asks for, as claims."""

import contextlib
import importlib.util
import os
import pathlib
import tempfile
import time
import types
import unittest
from unittest import mock

import wire
from session import GiveBack, Session, Work

MAIN = pathlib.Path(__file__).with_name("__main__.py")


def program():
    spec = importlib.util.spec_from_file_location("program", MAIN)
    module = importlib.util.module_from_spec(spec)
    with mock.patch("sys.argv", [str(MAIN)]):
        spec.loader.exec_module(module)
    return module


def throttled(**retry_after):
    return wire.failed("THROTTLED", "PROVIDER", **retry_after)


class PauseTest(unittest.TestCase):
    def setUp(self):
        stack = contextlib.ExitStack()
        self.addCleanup(stack.close)
        self.now = 1000.0
        stack.enter_context(mock.patch.object(time, "monotonic", lambda: self.now))
        stack.enter_context(mock.patch.dict(os.environ, {"MAILGUN_API_KEY": "key"}))
        state = stack.enter_context(tempfile.TemporaryDirectory())
        options = types.SimpleNamespace(
            base_url="http://127.0.0.1:9", domain="example.com", state=state, window=1
        )
        self.agent = program().Agent(options)
        stack.callback(self.agent.journal.owner.close)
        self.session = Session(self.agent)

    def answered(self, outcome):
        """The account answers a send like that."""
        with mock.patch.object(self.agent.account, "send", return_value=outcome):
            self.agent.send("boundary", b"form", self.now + 60)

    def is_given_back(self):
        """Whether an offer that comes now is."""
        offer = wire.messages.Offer(validity_ms=30_000)
        try:
            self.session._check(Work(offer, self.now))
        except GiveBack as reason:
            self.assertEqual(str(reason), "the provider asked for a pause")
            return True
        return False

    def test_what_comes_within_the_pause_is_given_back_and_what_comes_after_it_is_not(self):
        for asked, lasts in (({}, 1), ({"retry_after_ms": 10}, 1), ({"retry_after_ms": 30_000}, 30)):
            with self.subTest(asked=asked):
                self.assertFalse(self.is_given_back())
                self.answered(throttled(**asked))
                self.now += lasts - 0.001
                self.assertTrue(self.is_given_back())
                self.now += 0.002
                self.assertFalse(self.is_given_back())

    def test_neither_a_success_nor_a_shorter_pause_ends_one(self):
        self.answered(throttled(retry_after_ms=30_000))
        self.answered(wire.messages.Outcome(accepted=wire.messages.Receipt()))
        self.answered(throttled())
        self.now += 29
        self.assertTrue(self.is_given_back())


if __name__ == "__main__":
    unittest.main()
