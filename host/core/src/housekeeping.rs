//! Forgetting what nobody has open any more.
//!
//! Nothing depends on its being prompt: a forgotten entry only frees memory. It runs in a thread of its own.
//!
//! Neighbours: `view` (whose tables it sweeps).

use crate::mounting;
use crate::view::View;
use std::sync::{Arc, Weak};
use std::time::Duration;

/// How often the tables are swept.
const PERIOD: Duration = Duration::from_secs(5);

/// Starts the sweeping thread; it ends with the view.
pub fn start(view: &Arc<View>) -> std::io::Result<()> {
    let view = Arc::downgrade(view);
    std::thread::Builder::new()
        .name("housekeeping".into())
        .stack_size(256 * 1024)
        .spawn(move || sweep(&view))
        .map(drop)
}

fn sweep(view: &Weak<View>) {
    loop {
        std::thread::sleep(PERIOD);
        let Some(view) = view.upgrade() else { return };
        mounting::detach_unused(&view, &view.forget_namespaces());
        view.collect();
    }
}
