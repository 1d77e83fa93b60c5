//! A tracee's memory: process_vm_readv(2) and process_vm_writev(2).
//!
//! A read that the tracee's own call would answer with `EFAULT` gives `EFAULT` here too. The caller re-checks the
//! notification after the last read (seccomp_unotify(2)), so that a recycled pid is never believed.

use crate::last_errno;
use rustix::io::Errno;

/// Longest path a system call takes, with its NUL (limits.h).
pub const PATH_MAX: usize = 4096;
const PAGE: usize = 4096;

/// Reads `buffer.len()` bytes or fails with `EFAULT`.
pub fn read_exact(tid: u32, address: u64, buffer: &mut [u8]) -> Result<(), Errno> {
    if read(tid, address, buffer)? == buffer.len() {
        Ok(())
    } else {
        Err(Errno::FAULT)
    }
}

/// Reads up to `buffer.len()` bytes; the count is short when the range leaves mapped memory.
pub fn read(tid: u32, address: u64, buffer: &mut [u8]) -> Result<usize, Errno> {
    if buffer.is_empty() {
        return Ok(0);
    }
    let local = libc::iovec {
        iov_base: buffer.as_mut_ptr().cast(),
        iov_len: buffer.len(),
    };
    let remote = libc::iovec {
        iov_base: address as usize as *mut libc::c_void,
        iov_len: buffer.len(),
    };
    // WHY UNSAFE: process_vm_readv has no safe wrapper.
    // SAFETY:
    // 1. `local` names `buffer`, which is exclusively ours and `buffer.len()` bytes long.
    // 2. `remote` is never dereferenced here; the kernel checks it and returns EFAULT.
    let count = unsafe { libc::process_vm_readv(tid as i32, &local, 1, &remote, 1, 0) };
    if count < 0 {
        Err(last_errno())
    } else {
        Ok(count as usize)
    }
}

/// Writes all of `data` or fails with `EFAULT`.
pub fn write(tid: u32, address: u64, data: &[u8]) -> Result<(), Errno> {
    if data.is_empty() {
        return Ok(());
    }
    let local = libc::iovec {
        iov_base: data.as_ptr().cast_mut().cast(),
        iov_len: data.len(),
    };
    let remote = libc::iovec {
        iov_base: address as usize as *mut libc::c_void,
        iov_len: data.len(),
    };
    // WHY UNSAFE: process_vm_writev has no safe wrapper.
    // SAFETY:
    // 1. `local` is only read by the kernel, and names `data`.
    // 2. `remote` is never dereferenced here; the kernel checks it and returns EFAULT.
    let count = unsafe { libc::process_vm_writev(tid as i32, &local, 1, &remote, 1, 0) };
    if count < 0 {
        Err(last_errno())
    } else if count as usize == data.len() {
        Ok(())
    } else {
        Err(Errno::FAULT)
    }
}

/// Reads a NUL-terminated string of fewer than `limit` bytes. `ENAMETOOLONG` when there is no NUL within `limit`,
/// `EFAULT` when memory ends before the NUL.
pub fn read_string(tid: u32, address: u64, limit: usize) -> Result<Vec<u8>, Errno> {
    let mut text = Vec::with_capacity(256);
    let mut chunk = [0u8; 256];
    while text.len() < limit {
        let at = address.wrapping_add(text.len() as u64);
        // Never across a page border: the next page may be unmapped although the string ends before it.
        let to_border = PAGE - (at as usize % PAGE);
        let want = to_border.min(chunk.len()).min(limit - text.len());
        let part = &mut chunk[..want];
        let count = read(tid, at, part)?;
        let part = &part[..count];
        if let Some(end) = part.iter().position(|&byte| byte == 0) {
            text.extend_from_slice(&part[..end]);
            return Ok(text);
        }
        if count < want {
            return Err(Errno::FAULT);
        }
        text.extend_from_slice(part);
    }
    Err(Errno::NAMETOOLONG)
}

/// Reads a path argument: `PATH_MAX` and the kernel's errors (getname in fs/namei.c).
pub fn read_path(tid: u32, address: u64) -> Result<Vec<u8>, Errno> {
    read_string(tid, address, PATH_MAX)
}
