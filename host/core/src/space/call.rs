//! What a system call is about to write, and how it looks when it writes less, or nothing.
//!
//! Neighbours: `traced` (asks at the entry of each call). No locks.
//!
//! Reference: write(2), pwritev2(2), sendfile(2), splice(2), copy_file_range(2); arch/x86/entry/syscalls/syscall_64.tbl.

use rustix::fs::{SeekFrom, Stat, fstat, seek};
use std::fs::File;
use std::ops::Range;
use view_sys::memory;
use view_sys::ptrace::Registers;

/// Most bytes of one call (`MAX_RW_COUNT`).
const MOST_BYTES: u64 = 0x7fff_f000;
/// Most parts of one writev(2) (`UIO_MAXIOV`).
const MOST_PARTS: u64 = 1024;
const PART_BYTES: u64 = 16;
/// What a pipe can hand over at once, unless somebody made it larger.
const PIPE_BYTES: u64 = 1 << 20;

/// Where a call has the number of bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Count {
    /// In a register, which may be set lower.
    Register(Register),
    /// In parts: the first that is not empty has this address and length.
    Parts { address: u64, length: u64 },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Register {
    Rdx,
    R10,
    R8,
}

/// A call that writes to a descriptor.
#[derive(Clone, Copy, Debug)]
pub(super) struct WritingCall {
    /// The descriptor.
    pub(super) descriptor: i32,
    /// Where it writes; `None`: at the descriptor's position.
    position: Option<u64>,
    /// Bytes, as far as they can be known.
    bytes: u64,
    count: Count,
}

impl WritingCall {
    /// The call that a thread stands at the entry of, if it writes to a file.
    pub(super) fn at(thread: u32, registers: &Registers) -> Option<WritingCall> {
        let at_position = |descriptor: u64, bytes: u64, register: Register| WritingCall {
            descriptor: descriptor as i32,
            position: None,
            bytes,
            count: Count::Register(register),
        };
        let call = match registers.orig_rax as i64 {
            libc::SYS_write => at_position(registers.rdi, registers.rdx, Register::Rdx),
            libc::SYS_pwrite64 => WritingCall {
                position: Some(registers.r10),
                ..at_position(registers.rdi, registers.rdx, Register::Rdx)
            },
            libc::SYS_writev => parts(thread, registers, None)?,
            libc::SYS_pwritev => parts(thread, registers, Some(registers.r10))?,
            libc::SYS_pwritev2 => {
                let position = Some(registers.r10).filter(|position| *position != u64::MAX);
                parts(thread, registers, position)?
            }
            libc::SYS_sendfile => {
                let bytes = available(thread, registers.rsi, registers.rdx)?.min(registers.r10);
                at_position(registers.rdi, bytes, Register::R10)
            }
            libc::SYS_splice | libc::SYS_copy_file_range => {
                let bytes = available(thread, registers.rdi, registers.rsi)?.min(registers.r8);
                let position = match registers.r10 {
                    0 => None,
                    address => Some(read_number(thread, address)?),
                };
                WritingCall {
                    position,
                    ..at_position(registers.rdx, bytes, Register::R8)
                }
            }
            _ => return None,
        };
        let bytes = call.bytes.min(MOST_BYTES);
        Some(WritingCall { bytes, ..call })
    }

    /// The bytes of the file that it writes. `size`: the file's; `append`: the descriptor always writes at the end.
    pub(super) fn range(&self, size: u64, append: bool, position: u64) -> Range<u64> {
        let start = match append {
            true => size,
            false => self.position.unwrap_or(position),
        };
        start..start.saturating_add(self.bytes)
    }

    /// The registers for writing this many bytes only, which is more than none.
    pub(super) fn shortened(&self, registers: &Registers, bytes: u64) -> Registers {
        let mut changed = *registers;
        match self.count {
            Count::Register(Register::Rdx) => changed.rdx = bytes,
            Count::Register(Register::R10) => changed.r10 = bytes,
            Count::Register(Register::R8) => changed.r8 = bytes,
            Count::Parts { address, length } => {
                let number = match self.position {
                    Some(_) => libc::SYS_pwrite64,
                    None => libc::SYS_write,
                };
                changed.orig_rax = number as u64;
                changed.rsi = address;
                changed.rdx = length.min(bytes);
            }
        }
        changed
    }

    /// The registers for a call that does nothing: there is no such descriptor.
    pub(super) fn without_effect(&self, registers: &Registers) -> Registers {
        let mut changed = *registers;
        match registers.orig_rax as i64 {
            libc::SYS_splice | libc::SYS_copy_file_range => changed.rdx = u64::MAX,
            _ => changed.rdi = u64::MAX,
        }
        changed
    }
}

/// writev(2) and its like.
fn parts(thread: u32, registers: &Registers, position: Option<u64>) -> Option<WritingCall> {
    let number = registers.rdx;
    if number > MOST_PARTS {
        return None; // Linux refuses it
    }
    let mut table = vec![0; usize::try_from(number * PART_BYTES).ok()?];
    memory::read_exact(thread, registers.rsi, &mut table).ok()?;
    let (mut first, mut bytes) = (None, 0u64);
    for part in table.chunks_exact(PART_BYTES as usize) {
        let word = |from: usize| part.get(from..from + 8)?.try_into().ok();
        let (address, length) = (u64::from_ne_bytes(word(0)?), u64::from_ne_bytes(word(8)?));
        bytes = bytes.saturating_add(length);
        if length > 0 && first.is_none() {
            first = Some((address, length));
        }
    }
    let (address, length) = first?;
    Some(WritingCall {
        descriptor: registers.rdi as i32,
        position,
        bytes,
        count: Count::Parts { address, length },
    })
}

/// Bytes that a call can read from a descriptor. `place`: the address of the position, 0 for the descriptor's own.
fn available(thread: u32, descriptor: u64, place: u64) -> Option<u64> {
    let descriptor = Descriptor::of(thread, descriptor as i32)?;
    if descriptor.stat.st_mode & libc::S_IFMT != libc::S_IFREG {
        return Some(PIPE_BYTES);
    }
    let position = match place {
        0 => descriptor.position,
        address => read_number(thread, address)?,
    };
    Some(descriptor.size().saturating_sub(position))
}

fn read_number(thread: u32, address: u64) -> Option<u64> {
    let mut bytes = [0; 8];
    memory::read_exact(thread, address, &mut bytes).ok()?;
    Some(u64::from_ne_bytes(bytes))
}

/// A descriptor of a thread that stands still.
pub(super) struct Descriptor {
    link: String,
    pub(super) stat: Stat,
    pub(super) flags: i32,
    pub(super) position: u64,
}

impl Descriptor {
    pub(super) fn of(thread: u32, number: i32) -> Option<Descriptor> {
        let link = format!("/proc/{thread}/fd/{number}");
        let stat = rustix::fs::stat(link.as_str()).ok()?;
        let info = format!("/proc/{thread}/fdinfo/{number}");
        let text = std::fs::read_to_string(info).ok()?;
        let (position, flags) = crate::relocation::parse_info(&text)?;
        Some(Descriptor {
            link,
            stat,
            flags,
            position,
        })
    }

    pub(super) fn size(&self) -> u64 {
        u64::try_from(self.stat.st_size).unwrap_or(0)
    }

    pub(super) fn is_writable(&self) -> bool {
        self.flags & libc::O_PATH == 0 && self.flags & libc::O_ACCMODE != libc::O_RDONLY
    }

    pub(super) fn appends(&self) -> bool {
        self.flags & libc::O_APPEND != 0
    }

    /// Bytes of holes in a range within the file; whole where that cannot be told.
    pub(super) fn hole_bytes(&self, range: Range<u64>) -> u64 {
        let held = u64::try_from(self.stat.st_blocks).unwrap_or(0) * 512;
        if range.is_empty() || held >= self.size() {
            return 0;
        }
        let Ok(file) = File::open(&self.link) else {
            return range.end - range.start;
        };
        let (mut at, mut data) = (range.start, 0);
        // What fstat says has the size as it is now.
        let end = fstat(&file).map_or(range.end, |stat| {
            range.end.min(u64::try_from(stat.st_size).unwrap_or(0))
        });
        while at < end {
            let Ok(from) = seek(&file, SeekFrom::Data(at)) else {
                break;
            };
            let to = seek(&file, SeekFrom::Hole(from)).unwrap_or(end);
            data += to.min(end).saturating_sub(from.min(end));
            at = to.max(at + 1);
        }
        (range.end - range.start).saturating_sub(data)
    }
}
