//! Errors of write-backs, and who has been told of them.
//!
//! Neighbours: `written` (keeps them under its state's lock).

use rustix::io::Errno;

/// A descriptor of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Descriptor {
    /// Process id (not of the thread).
    pub process: u32,
    /// Its number there.
    pub number: i32,
}

/// An open file description that asks for errors. It has no name that the kernel would tell, so it is known by its
/// descriptors. Nothing of this is asked before there was an error.
pub trait Reporter {
    /// The descriptor that is asked through.
    fn asking(&self) -> Descriptor;

    /// The descriptors that it has now, in all processes. May take milliseconds.
    fn descriptors(&self) -> Vec<Descriptor>;

    /// Does this descriptor, now, belong to it?
    fn has(&self, descriptor: Descriptor) -> bool;
}

/// A descriptor whose open file description has no other.
impl Reporter for Descriptor {
    fn asking(&self) -> Descriptor {
        *self
    }

    fn descriptors(&self) -> Vec<Descriptor> {
        vec![*self]
    }

    fn has(&self, descriptor: Descriptor) -> bool {
        *self == descriptor
    }
}

/// The errors of a file, as Linux's `errseq_t`: each open file description is told once.
///
/// Who was told is found again by the descriptors that the description had when it was told, or when it asked again by a new
/// one. One that was duplicated after that, and whose older descriptors were all closed before it asks, is told twice.
#[derive(Debug, Default)]
pub(super) struct Errors {
    /// The last error and its number; the first has number 1.
    last: Option<(u64, Errno)>,
    is_seen: bool,
    pub(super) has_recovered: bool,
    /// How often the file had been opened for writing when it happened.
    opens: u64,
    told: Vec<Told>,
}

/// An open file description that has been told.
#[derive(Debug)]
struct Told {
    descriptors: Vec<Descriptor>,
    number: u64,
}

impl Errors {
    pub(super) fn note(&mut self, error: Errno, opens: u64) {
        // The same trouble once more is no news until it was over.
        let is_known = !self.has_recovered && self.last.is_some_and(|(_, last)| last == error);
        if !is_known {
            let number = self.last.map_or(0, |(number, _)| number) + 1;
            self.last = Some((number, error));
            self.is_seen = false;
            self.opens = opens;
        }
        self.has_recovered = false;
    }

    pub(super) fn take(&mut self, reporter: &dyn Reporter, opens: u64) -> Option<Errno> {
        /// More are forgotten: some may be told twice.
        const MOST: usize = 4096;
        let (number, error) = self.last?;
        let known = self.told.iter_mut().find(|told| {
            let mut descriptors = told.descriptors.iter();
            descriptors.any(|descriptor| reporter.has(*descriptor))
        });
        let is_news = match &known {
            Some(told) => told.number != number,
            // Of a description that was perhaps opened later: only what nobody has heard of, or what still holds.
            None => opens == self.opens || !self.is_seen || !self.has_recovered,
        };
        let told = || Told {
            descriptors: reporter.descriptors(),
            number,
        };
        match known {
            Some(known) if is_news || !known.descriptors.contains(&reporter.asking()) => {
                *known = told();
            }
            Some(_) => {}
            None => {
                if self.told.len() >= MOST {
                    self.told.clear();
                }
                self.told.push(told());
            }
        }
        self.is_seen |= is_news;
        is_news.then_some(error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An open file description with its descriptors, the asking one among them.
    struct Description<'a>(&'a [i32]);

    fn descriptor(number: &i32) -> Descriptor {
        Descriptor {
            process: 1,
            number: *number,
        }
    }

    impl Reporter for Description<'_> {
        fn asking(&self) -> Descriptor {
            descriptor(&self.0[0])
        }

        fn descriptors(&self) -> Vec<Descriptor> {
            self.0.iter().map(descriptor).collect()
        }

        fn has(&self, one: Descriptor) -> bool {
            self.descriptors().contains(&one)
        }
    }

    #[test]
    fn descriptors_of_one_description_are_told_once() {
        let mut errors = Errors::default();
        let ask = |errors: &mut Errors, numbers: &[i32]| errors.take(&Description(numbers), 2);
        assert_eq!(ask(&mut errors, &[3, 4]), None);
        errors.note(Errno::IO, 2);
        errors.has_recovered = true;
        assert_eq!(ask(&mut errors, &[3, 4]), Some(Errno::IO));
        assert_eq!(ask(&mut errors, &[3, 4]), None);
        // 3 is closed; 4 is duplicated, asks by its new descriptor, and is closed.
        assert_eq!(ask(&mut errors, &[7, 4]), None);
        assert_eq!(ask(&mut errors, &[7]), None);
        assert_eq!(ask(&mut errors, &[5]), Some(Errno::IO), "another open");
        errors.note(Errno::NOSPC, 2);
        errors.has_recovered = true;
        for numbers in [&[7][..], &[5, 6]] {
            assert_eq!(ask(&mut errors, numbers), Some(Errno::NOSPC));
            assert_eq!(ask(&mut errors, numbers), None);
        }
        // Opened after everybody was told.
        assert_eq!(errors.take(&Description(&[8]), 3), None);
    }
}
