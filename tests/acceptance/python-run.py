"""usage: python-run.py MODULE RESULTS -- runs test.MODULE of CPython's test suite and writes one line per test.

A line is OUTCOME, a tab, the test's id; it is written as soon as the test ends, so that a run that is stopped still tells
how far it came. sync(2) is left out: it writes back every file system of the machine.
"""

import os
import posix
import sys
import unittest

os.sync = posix.sync = lambda: None

from test import support  # noqa: E402
from test.support import os_helper  # noqa: E402


class Results(unittest.TestResult):
    """Writes the outcome of each test; a failed part (subTest) makes the whole test fail."""

    def __init__(self, out):
        super().__init__()
        self.out = out
        self.outcome = None

    def startTest(self, test):
        super().startTest(test)
        self.outcome = "ok"
        sys.stderr.write(f"== {test.id()}\n")
        sys.stderr.flush()

    def stopTest(self, test):
        super().stopTest(test)
        self.write(self.outcome, test.id())

    def write(self, outcome, name):
        os.write(self.out, f"{outcome}\t{name}\n".encode())

    def trouble(self, word, test, err):
        self.outcome = word
        sys.stderr.write(self._exc_info_to_string(err, test) + "\n")

    def addError(self, test, err):
        self.trouble("error", test, err)
        if not isinstance(test, unittest.TestCase):  # setUpClass, setUpModule
            self.write("error", str(test))

    def addFailure(self, test, err):
        self.trouble("failed", test, err)

    def addSubTest(self, test, subtest, err):
        if err is not None:
            self.trouble("failed", test, err)

    def addSkip(self, test, reason):
        self.outcome = "skipped"
        if not isinstance(test, unittest.TestCase):
            self.write("skipped", str(test))

    def addExpectedFailure(self, test, err):
        self.outcome = "expected failure"

    def addUnexpectedSuccess(self, test):
        self.outcome = "unexpected success"


def main():
    module, results = sys.argv[1:]
    out = os.open(results, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
    support.verbose = 1
    support.use_resources = set()
    sys.argv = ["python-run.py"]
    with os_helper.temp_cwd(os.path.join(os.environ["TMPDIR"], "python-tests")):
        unittest.defaultTestLoader.loadTestsFromName("test." + module).run(Results(out))


if __name__ == "__main__":
    main()
