//! Writing in a whole view to a module that gives no descriptors (`examples/written_view.rs`): what programs see, and
//! what the module has at the end.

use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

/// A directory that goes with the test.
struct Place(PathBuf);

impl Place {
    fn new(name: &str) -> Place {
        let path = std::env::temp_dir().join(format!("view-writing-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Place(path)
    }

    fn read(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.0.join(name)).unwrap()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Runs a script in /written; its files are in the place when it returns.
fn run(place: &Place, options: &str, script: &str) -> Output {
    let tests = std::env::current_exe().unwrap();
    let program = tests.parent().and_then(|path| path.parent()).unwrap();
    Command::new(program.join("examples/written_view"))
        .arg(options)
        .arg(&place.0)
        .args(["sh", "-e", "-c"])
        .arg(format!("cd /written\n{script}"))
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn programs_write_and_the_module_has_it_at_the_end() {
    let place = Place::new("end");
    let output = run(
        &place,
        "",
        "echo first > a; echo second >> a; cat a; stat -c %s a
         ln a b; mv a c; rm b
         touch -d @1000000 c; stat -c %Y c
         cp /bin/true true; ./true
         dd if=/dev/zero of=zeros bs=64k count=20 2>/dev/null
         echo x | dd of=zeros bs=1 seek=70000 count=1 conv=notrunc,fsync 2>/dev/null
         truncate -s 100000 zeros
         rm -f gone; exec 7<>gone; echo lost >&7; rm gone; exec 7>&-
         sync -f c; sync c",
    );
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    assert_eq!(text(&output.stdout), "first\nsecond\n13\n1000000\n");
    assert_eq!(place.read("c"), b"first\nsecond\n");
    assert_eq!(place.read("true"), std::fs::read("/bin/true").unwrap());
    let mut zeros = vec![0; 100_000];
    zeros[70_000] = b'x';
    assert!(place.read("zeros") == zeros);
    assert!(!place.0.join("gone").exists());
    assert!(!place.0.join("a").exists());
}

#[test]
fn what_cannot_be_written_back_is_told_by_fsync_and_by_the_exit_status() {
    let place = Place::new("full");
    let output = run(
        &place,
        "size=1M",
        "dd if=/dev/urandom of=synced bs=64k count=32 conv=fsync 2>/dev/null && exit 1
         rm synced
         dd if=/dev/urandom of=kept bs=64k count=8 conv=fsync 2>/dev/null || exit 2
         dd if=/dev/urandom of=refused bs=64k count=32 2>&1 | grep -q 'No space left on device' || exit 3
         rm refused
         # Nobody can hold back what is stored through a mapping.
         /usr/bin/python3 -c '
import mmap, os
file = os.open(\"lost\", os.O_RDWR | os.O_CREAT)
os.ftruncate(file, 2 << 20)
mmap.mmap(file, 2 << 20)[:] = os.urandom(2 << 20)
' || exit 5",
    );
    let errors = text(&output.stderr);
    assert_eq!(output.status.code(), Some(125), "{errors}");
    let line = "view: cannot write back /written/lost: No space left on device";
    assert!(errors.contains(line), "{errors}");
    assert!(!errors.contains("synced"), "{errors}");
    assert_eq!(place.read("kept").len(), 8 * 65536);
}

#[test]
fn a_signal_to_end_writes_everything_back_and_the_view_goes_on() {
    let place = Place::new("signal");
    let output = run(
        &place,
        "",
        "exec 7>open; echo kept >&7
         read -r _ _ _ supervisor _ < /proc/$PPID/stat
         kill -TERM $supervisor
         for _ in 1 2 3 4 5; do sleep 0.2; done
         echo alive",
    );
    let errors = text(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{errors}");
    assert_eq!(text(&output.stdout), "alive\n");
    assert!(errors.contains("everything is written back"), "{errors}");
    assert_eq!(place.read("open"), b"kept\n");
}
