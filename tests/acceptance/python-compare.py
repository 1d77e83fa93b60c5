"""usage: python-compare.py RESULTS MODULE... -- compares RESULTS/native/MODULE with RESULTS/view/MODULE, test by test.

Only tests that pass natively count; such a test passed if it passed in the view.
"""

import os
import sys


def read(path):
    outcomes = {}
    if os.path.exists(path):
        with open(path, encoding="utf-8", errors="replace") as lines:
            for line in lines:
                outcome, _, name = line.rstrip("\n").partition("\t")
                outcomes[name] = outcome
    return outcomes


def trouble(log, name):
    """What the run in the view printed during one test."""
    with open(log, encoding="utf-8", errors="replace") as text:
        _, _, after = text.read().partition(f"== {name}\n")
    lines = after.partition("\n== ")[0].strip().splitlines()
    return "".join(f"     | {line[:200]}\n" for line in lines[-8:])


def main():
    results, modules = sys.argv[1], sys.argv[2:]
    total = failures = 0
    for module in modules:
        native = read(f"{results}/native/{module}")
        inside = read(f"{results}/view/{module}")
        wanted = [name for name, outcome in native.items() if outcome == "ok"]
        failed = [name for name in wanted if inside.get(name) != "ok"]
        for name in failed:
            print(f"FAIL {name}: {inside.get(name, 'did not run')}")
            print(trouble(f"{results}/view/{module}.log", name), end="")
        if not wanted:
            print(f"FAIL test_{module}: nothing passes natively")
            total += 1
            failures += 1
        print(f"{'FAIL' if failed else 'ok  '} test_{module}: {len(wanted) - len(failed)} of {len(wanted)} that pass natively")
        total += len(wanted)
        failures += len(failed)
    print(f"{total - failures} passed, {failures} failed")
    sys.exit(failures != 0)


if __name__ == "__main__":
    main()
