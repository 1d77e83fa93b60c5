"""usage: readme-session.py README -- runs the commands of the README's console blocks as they stand there.

Commands are the lines that start with `$ `; what follows one is what it must print (standard output and error), where a
line `...` stands for any lines. `cargo run --release --` becomes `view`, `cargo install` is left out: the binary is there
already. What `view doctor` prints depends on the machine: its exit status must be 0.
"""

import os
import re
import subprocess
import sys


def sessions(text):
    for block in re.findall(r"^```console\n(.*?)^```", text, re.MULTILINE | re.DOTALL):
        for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            command, _, output = part.partition("\n")
            yield re.sub(r"\s{2,}#.*", "", command), output.rstrip("\n")


def matches(wanted, got):
    pattern = "".join(".*" if line == "..." else re.escape(line) + "\n" for line in wanted.splitlines())
    return re.fullmatch(pattern, got + ("\n" if got and not got.endswith("\n") else ""), re.DOTALL) is not None


def main():
    with open(sys.argv[1], encoding="utf-8") as file:
        text = file.read()
    os.environ["PATH"] = os.path.dirname(os.environ["VIEW_BIN"]) + ":" + os.environ["PATH"]
    passed = failed = 0
    for command, wanted in sessions(text):
        command = command.replace("cargo run --release -- ", "view ")
        if not re.search(r"\bview\b", command) or command.startswith("cargo "):
            continue
        run = subprocess.run(["sh", "-c", command + " 2>&1"], stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, timeout=120, check=False)
        got = run.stdout.decode(errors="replace")
        if "view doctor" in command:
            good = run.returncode == 0
        else:
            good = matches(wanted, got) and run.returncode < 125
        print("ok  " if good else "FAIL", "README:", command[:90])
        if not good:
            print(f"     | status {run.returncode}; it printed:")
            print("".join(f"     | {line[:200]}\n" for line in got.splitlines()[:12]), end="")
        passed += good
        failed += not good
    if passed + failed == 0:
        print("FAIL README: no console block with a command of view")
        failed = 1
    print(f"{passed} passed, {failed} failed")
    sys.exit(failed != 0)


if __name__ == "__main__":
    main()
