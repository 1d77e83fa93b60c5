//! Forgetting what nobody has open any more.
//!
//! Nothing depends on its being prompt: a forgotten entry only frees memory, and space in a filesystem. It runs in a
//! thread of its own.
//!
//! Neighbours: `view` (whose tables it sweeps).

use crate::mounting;
use crate::view::{Gone, View};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

/// How often the tables are swept.
const PERIOD: Duration = Duration::from_secs(5);

/// How often files without a name are looked at, while there are any.
const NAMELESS_PERIOD: Duration = Duration::from_millis(200);

/// What goes is gathered for this long: mostly who removes a file lets it go, and waking a thread for each would cost
/// more than that.
const GATHERING: Duration = Duration::from_millis(20);

/// Starts the sweeping thread; it ends with the view.
pub fn start(view: &Arc<View>) -> std::io::Result<()> {
    let gone = view.gone().clone();
    let view = Arc::downgrade(view);
    std::thread::Builder::new()
        .name("housekeeping".into())
        .stack_size(512 * 1024)
        .spawn(move || sweep(&view, &gone))
        .map(drop)
}

fn sweep(view: &Weak<View>, gone: &Gone) {
    let mut next = Instant::now() + PERIOD;
    let mut has_nameless = false;
    loop {
        gone.wait(match has_nameless {
            true => next.min(Instant::now() + NAMELESS_PERIOD),
            false => next,
        });
        std::thread::sleep(GATHERING);
        let Some(view) = view.upgrade() else { return };
        view.drop_gone();
        has_nameless = view.collect_nameless();
        if Instant::now() < next {
            continue;
        }
        next = Instant::now() + PERIOD;
        mounting::detach_unused(&view, &view.forget_namespaces());
        view.collect();
    }
}
