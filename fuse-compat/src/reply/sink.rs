//! Where an answer goes: a slot that a caller of [`crate::sync`] waits on, or a function.
//!
//! Lock order: `Slot::state` is a leaf; nothing is called while it is held.

use std::fmt;
use std::sync::{Arc, Condvar, Mutex, PoisonError};

use crate::Errno;

/// The place a blocking caller waits at.
pub(crate) struct Slot<T> {
    state: Mutex<SlotState<T>>,
    answered: Condvar,
}

struct SlotState<T> {
    answer: Option<Result<T, Errno>>,
    /// Somebody sleeps on `answered`; without that a wake-up would cost a needless system call.
    has_waiter: bool,
}

impl<T> Slot<T> {
    pub(crate) fn new() -> Arc<Slot<T>> {
        Arc::new(Slot {
            state: Mutex::new(SlotState {
                answer: None,
                has_waiter: false,
            }),
            answered: Condvar::new(),
        })
    }

    fn put(&self, answer: Result<T, Errno>) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.answer = Some(answer);
        let wake = state.has_waiter;
        drop(state);
        if wake {
            self.answered.notify_one();
        }
    }

    /// Takes the answer; sleeps only when it is not there yet.
    pub(crate) fn wait(&self) -> Result<T, Errno> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if let Some(answer) = state.answer.take() {
                return answer;
            }
            state.has_waiter = true;
            state = self
                .answered
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }
}

enum Target<T> {
    Slot(Arc<Slot<T>>),
    Function(Box<dyn FnOnce(Result<T, Errno>) + Send>),
    Answered,
}

/// The host's end of a reply: gets the result once. Dropped unanswered, it gets `EIO`.
pub struct Sink<T>(Target<T>);

impl<T> Sink<T> {
    /// A sink that calls `function` in the thread that answers. It must not block for long.
    pub fn from_fn(function: impl FnOnce(Result<T, Errno>) + Send + 'static) -> Sink<T> {
        Sink(Target::Function(Box::new(function)))
    }

    /// A sink that fills `slot`.
    pub(crate) fn from_slot(slot: &Arc<Slot<T>>) -> Sink<T> {
        Sink(Target::Slot(Arc::clone(slot)))
    }

    /// Delivers the result.
    pub fn send(mut self, answer: Result<T, Errno>) {
        self.deliver(answer);
    }

    fn deliver(&mut self, answer: Result<T, Errno>) {
        match std::mem::replace(&mut self.0, Target::Answered) {
            Target::Slot(slot) => slot.put(answer),
            Target::Function(function) => function(answer),
            Target::Answered => {}
        }
    }
}

impl<T> Drop for Sink<T> {
    fn drop(&mut self) {
        self.deliver(Err(Errno::EIO));
    }
}

impl<T> fmt::Debug for Sink<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sink")
    }
}

/// A reply type over `Sink<$out>` with its constructor and `error`.
macro_rules! reply {
    ($(#[$doc:meta])* $name:ident, $out:ty) => {
        $(#[$doc])*
        #[derive(Debug)]
        pub struct $name {
            sink: $crate::Sink<$out>,
        }

        impl $name {
            /// Host side: a reply that goes to `sink`.
            pub fn new(sink: $crate::Sink<$out>) -> $name {
                $name { sink }
            }

            /// Answers with an error.
            pub fn error(self, err: $crate::Errno) {
                self.sink.send(Err(err));
            }
        }
    };
}
pub(super) use reply;
