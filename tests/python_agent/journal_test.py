"""What the journal promises, as claims."""

import os
import tempfile
import unittest

from journal import ENDED, KEPT, STARTED, InUse, Journal, Stale

A, B, C = (bytes([letter]) * 16 for letter in b"abc")
ONE, OTHER = b"1" * 16, b"2" * 16


class JournalTest(unittest.TestCase):
    def setUp(self):
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.directory = directory.name
        self.path = os.path.join(directory.name, "journal")
        self.open()

    def open(self):
        self.journal = Journal(self.directory, b"lost")
        self.addCleanup(self.journal.owner.close)

    def reopen(self):
        """As after a kill: the lock goes with the process."""
        self.journal.owner.close()
        os.close(self.journal.file)
        self.open()

    def name(self):
        return self.journal.head["name"]

    def test_what_had_begun_at_a_kill_is_in_doubt_and_what_had_ended_is_exact(self):
        name, (session, _, _) = self.name(), self.journal.begin_session()
        self.journal.start(session, A, sync=True)
        self.journal.start(session, B, sync=False)
        self.journal.end(B, b"accepted")
        self.reopen()
        self.assertEqual(dict(self.journal.ended()), {A: b"lost", B: b"accepted"})
        self.assertEqual(self.name(), name)

    def test_an_offer_of_an_earlier_session_may_not_start_and_none_starts_twice(self):
        session, _, _ = self.journal.begin_session()
        self.journal.start(session, A, sync=False)
        self.assertRaises(Stale, self.journal.start, session, A, False)
        _, _, entries = self.journal.begin_session()
        self.assertEqual(entries, [(A, STARTED)])
        self.assertRaises(Stale, self.journal.start, session, B, False)

    def test_what_is_acknowledged_is_reported_no_more_and_kept_where_it_must_be(self):
        session, _, _ = self.journal.begin_session()
        for attempt in (A, B, C):
            self.journal.start(session, attempt, sync=False)
        self.journal.end(A, b"")
        self.journal.end(B, b"")
        self.journal.acknowledge(A, forget=True)
        self.journal.acknowledge(B, forget=False)
        self.journal.acknowledge(C, forget=True)
        self.assertEqual(self.journal.ended(), [])
        self.reopen()
        states = [(attempt, state) for attempt, (state, _) in self.journal.entries.items()]
        self.assertEqual(states, [(B, KEPT), (C, ENDED)])
        self.journal.acknowledge(B, forget=True)
        self.assertNotIn(B, self.journal.entries)

    def test_a_torn_record_is_cut_off_and_a_damaged_one_costs_the_name(self):
        name, (session, _, _) = self.name(), self.journal.begin_session()
        self.journal.start(session, A, sync=False)
        with open(self.path, "ab") as file:
            file.write(b'12345678 {"attempt": "6262')
        self.reopen()
        self.assertEqual((self.name(), list(self.journal.entries)), (name, [A]))
        with open(self.path, "r+b") as file:
            file.seek(file.read().index(A.hex().encode()))
            file.write(b"0")
        self.reopen()
        self.assertNotEqual(self.name(), name)

    def test_another_boot_and_other_data_cost_the_name(self):
        name = self.name()
        self.assertTrue(self.journal.belongs_to(ONE))
        self.assertEqual(self.name(), name)
        self.assertFalse(self.journal.belongs_to(OTHER))
        renamed = self.name()
        self.assertNotEqual(renamed, name)
        self.assertTrue(self.journal.belongs_to(OTHER))
        self.journal.head["boot"] = "before"
        self.journal._rewrite()
        self.reopen()
        self.assertNotIn(self.name(), (name, renamed))

    def test_a_file_that_has_grown_is_written_anew_and_loses_nothing(self):
        session, _, _ = self.journal.begin_session()
        self.journal.start(session, A, sync=False)
        for number in range(4000):
            attempt = number.to_bytes(16, "big")
            self.journal.start(session, attempt, sync=False)
            self.journal.end(attempt, b"accepted")
            self.journal.acknowledge(attempt, forget=True)
        self.assertLess(os.path.getsize(self.path), 500_000)
        self.reopen()
        self.assertEqual(self.journal.ended(), [(A, b"lost")])

    def test_only_one_process_has_it(self):
        self.assertRaises(InUse, Journal, self.directory, b"lost")


if __name__ == "__main__":
    unittest.main()
