//! What host and module agree on in `init`.

use std::time::Duration;

use crate::{InitFlags, Notifier, Version};

/// Largest write request in bytes.
const MAX_WRITE_BYTES: u32 = 16 * 1024 * 1024;
/// Largest stacking depth Linux allows.
const MAX_STACK_DEPTH: u32 = 2;

/// The connection between host and module, as configured in [`crate::Filesystem::init`].
///
/// The host creates it, passes it to `init` and reads the module's wishes afterwards. Each setter answers the
/// previous value, or the nearest allowed one as an error.
#[derive(Debug)]
pub struct KernelConfig {
    capabilities: InitFlags,
    requested: InitFlags,
    max_readahead: u32,
    largest_readahead: u32,
    max_background: u16,
    congestion_threshold: Option<u16>,
    max_write: u32,
    time_gran: Duration,
    max_stack_depth: u32,
    kernel_abi: Version,
    notifier: Option<Notifier>,
}

impl KernelConfig {
    /// A connection whose host offers `capabilities`, reads ahead at most `max_readahead` bytes and speaks
    /// protocol version `kernel_abi`.
    pub fn new(capabilities: InitFlags, max_readahead: u32, kernel_abi: Version) -> KernelConfig {
        let wanted =
            InitFlags::FUSE_ASYNC_READ | InitFlags::FUSE_BIG_WRITES | InitFlags::FUSE_MAX_PAGES;
        KernelConfig {
            capabilities,
            requested: capabilities & wanted,
            max_readahead,
            largest_readahead: max_readahead,
            max_background: 16,
            congestion_threshold: None,
            max_write: MAX_WRITE_BYTES,
            time_gran: Duration::from_nanos(1),
            max_stack_depth: 0,
            kernel_abi,
            notifier: None,
        }
    }

    /// What the host offers.
    pub fn capabilities(&self) -> InitFlags {
        self.capabilities - InitFlags::FUSE_INIT_EXT
    }

    /// What the module asked for (a subset of what is offered).
    pub fn requested(&self) -> InitFlags {
        self.requested
    }

    /// Protocol version of the host.
    pub fn kernel_abi(&self) -> Version {
        self.kernel_abi
    }

    /// Asks for capabilities.
    ///
    /// # Errors
    /// Those of them that the host does not offer; nothing is asked for then.
    pub fn add_capabilities(&mut self, capabilities_to_add: InitFlags) -> Result<(), InitFlags> {
        let missing = capabilities_to_add - self.capabilities;
        if !missing.is_empty() {
            return Err(missing);
        }
        self.requested |= capabilities_to_add;
        Ok(())
    }

    /// How many filesystems may be stacked below (0 to 2).
    ///
    /// # Errors
    /// The largest allowed value.
    pub fn set_max_stack_depth(&mut self, value: u32) -> Result<u32, u32> {
        if value > MAX_STACK_DEPTH {
            return Err(MAX_STACK_DEPTH);
        }
        Ok(std::mem::replace(&mut self.max_stack_depth, value))
    }

    /// Granularity of time stamps: a power of ten nanoseconds, at most one second.
    ///
    /// # Errors
    /// The nearest allowed value below (or 1 ns, or 1 s).
    pub fn set_time_granularity(&mut self, value: Duration) -> Result<Duration, Duration> {
        if value.is_zero() {
            return Err(Duration::from_nanos(1));
        }
        if value > Duration::from_secs(1) {
            return Err(Duration::from_secs(1));
        }
        let nanoseconds = value.as_nanos() as u64; // at most 10^9
        let power = 10u64.pow(nanoseconds.ilog10());
        if power != nanoseconds {
            return Err(Duration::from_nanos(power));
        }
        Ok(std::mem::replace(&mut self.time_gran, value))
    }

    /// Granularity of time stamps.
    pub fn time_granularity(&self) -> Duration {
        self.time_gran
    }

    /// Most bytes in one write request.
    ///
    /// # Errors
    /// The nearest allowed value.
    pub fn set_max_write(&mut self, value: u32) -> Result<u32, u32> {
        match value {
            0 => Err(1),
            1..=MAX_WRITE_BYTES => Ok(std::mem::replace(&mut self.max_write, value)),
            _ => Err(MAX_WRITE_BYTES),
        }
    }

    /// Most bytes in one write request.
    pub fn max_write(&self) -> u32 {
        self.max_write
    }

    /// Most bytes read ahead.
    ///
    /// # Errors
    /// The nearest allowed value.
    pub fn set_max_readahead(&mut self, value: u32) -> Result<u32, u32> {
        if value == 0 {
            return Err(1);
        }
        if value > self.largest_readahead {
            return Err(self.largest_readahead);
        }
        Ok(std::mem::replace(&mut self.max_readahead, value))
    }

    /// Most bytes read ahead.
    pub fn max_readahead(&self) -> u32 {
        self.max_readahead
    }

    /// Most background requests (reading ahead) in flight.
    ///
    /// # Errors
    /// The smallest allowed value.
    pub fn set_max_background(&mut self, value: u16) -> Result<u16, u16> {
        if value == 0 {
            return Err(1);
        }
        Ok(std::mem::replace(&mut self.max_background, value))
    }

    /// Number of background requests from which the queue counts as congested.
    ///
    /// # Errors
    /// The smallest allowed value.
    pub fn set_congestion_threshold(&mut self, value: u16) -> Result<u16, u16> {
        if value == 0 {
            return Err(1);
        }
        let previous = self.congestion_threshold();
        self.congestion_threshold = Some(value);
        Ok(previous)
    }

    /// Number of background requests from which the queue counts as congested: three quarters of the most, unless set.
    pub fn congestion_threshold(&self) -> u16 {
        match self.congestion_threshold {
            Some(value) => value.min(self.max_background),
            None => self.max_background - self.max_background.div_ceil(4),
        }
    }

    /// How the module reaches its host outside of replies, when the host offers that.
    pub fn notifier(&self) -> Option<Notifier> {
        self.notifier.clone()
    }

    /// Host side: offers a notifier to the module.
    pub fn set_notifier(&mut self, notifier: Notifier) {
        self.notifier = Some(notifier);
    }
}

impl Default for KernelConfig {
    /// A host that offers passthrough, POSIX ACLs, readdirplus and atomic O_TRUNC, speaking protocol 7.45.
    fn default() -> KernelConfig {
        let offered = InitFlags::FUSE_ASYNC_READ
            | InitFlags::FUSE_FILE_OPS
            | InitFlags::FUSE_ATOMIC_O_TRUNC
            | InitFlags::FUSE_EXPORT_SUPPORT
            | InitFlags::FUSE_BIG_WRITES
            | InitFlags::FUSE_DONT_MASK
            | InitFlags::FUSE_AUTO_INVAL_DATA
            | InitFlags::FUSE_DO_READDIRPLUS
            | InitFlags::FUSE_READDIRPLUS_AUTO
            | InitFlags::FUSE_PARALLEL_DIROPS
            | InitFlags::FUSE_MAX_PAGES
            | InitFlags::FUSE_CACHE_SYMLINKS
            | InitFlags::FUSE_PASSTHROUGH;
        KernelConfig::new(offered, 128 * 1024, Version(7, 45))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_offered_capabilities_are_granted() {
        let mut config = KernelConfig::default();
        assert_eq!(
            config.add_capabilities(InitFlags::FUSE_OVER_IO_URING | InitFlags::FUSE_PASSTHROUGH),
            Err(InitFlags::FUSE_OVER_IO_URING)
        );
        assert!(!config.requested().contains(InitFlags::FUSE_PASSTHROUGH));
        assert_eq!(config.add_capabilities(InitFlags::FUSE_PASSTHROUGH), Ok(()));
        assert!(config.requested().contains(InitFlags::FUSE_PASSTHROUGH));
    }

    #[test]
    fn setters_answer_the_old_value_or_the_nearest_allowed() {
        let mut config = KernelConfig::default();
        assert_eq!(
            config.set_time_granularity(Duration::from_nanos(150)),
            Err(Duration::from_nanos(100))
        );
        assert_eq!(
            config.set_time_granularity(Duration::from_secs(1)),
            Ok(Duration::from_nanos(1))
        );
        assert_eq!(config.set_max_write(0), Err(1));
        assert_eq!(config.set_max_stack_depth(3), Err(2));
        assert_eq!(config.congestion_threshold(), 12);
    }
}
