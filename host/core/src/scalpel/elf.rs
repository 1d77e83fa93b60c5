//! The parts of an ELF file that exec needs, and a copy of a program that asks for another interpreter.
//!
//! The kernel opens a program's interpreter (PT_INTERP) by path, behind the view's back. A program whose interpreter
//! lies in the view is executed as a copy whose PT_INTERP names a file that the kernel can open.
//! The bytes are foreign: nothing here panics on them.
//!
//! Reference: elf(5), fs/binfmt_elf.c.

use rustix::io::Errno;

const MAGIC: &[u8] = b"\x7fELF";
const CLASS_32: u8 = 1;
const CLASS_64: u8 = 2;
const LITTLE_ENDIAN: u8 = 1;
const PT_INTERP: u32 = 3;
/// Size of the ELF64 file header.
const HEADER_SIZE: usize = 64;
/// Size of an ELF64 program header.
const PROGRAM_HEADER_SIZE: usize = 56;
/// The kernel refuses tables of more than 64 KiB.
const TABLE_LIMIT: usize = 65536;
/// Longest interpreter path the kernel takes, with its NUL.
const PATH_MAX: u64 = 4096;
/// e_machine of x86-64.
pub const MACHINE_X86_64: u16 = 62;

/// Width of an ELF file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// 32-bit; nothing else is read of such a file.
    Bits32,
    /// 64-bit.
    Bits64,
}

/// The interpreter that a program asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Interpreter {
    /// Its path, without NUL.
    pub path: Vec<u8>,
    /// Offset in the file of the program header that names it.
    header_offset: u64,
}

/// What exec needs to know of an ELF file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Program {
    /// 32 or 64 bit.
    pub class: Class,
    /// e_type: 2 executable at fixed addresses, 3 position independent (or a library).
    pub kind: u16,
    /// e_machine.
    pub machine: u16,
    /// PT_INTERP, when the program is dynamic.
    pub interpreter: Option<Interpreter>,
}

/// Reads from a file at an offset; a short count means its end.
pub type ReadAt<'a> = dyn FnMut(u64, &mut [u8]) -> Result<usize, Errno> + 'a;

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    bytes
        .get(at..)?
        .first_chunk()
        .map(|word| u16::from_le_bytes(*word))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    bytes
        .get(at..)?
        .first_chunk()
        .map(|word| u32::from_le_bytes(*word))
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    bytes
        .get(at..)?
        .first_chunk()
        .map(|word| u64::from_le_bytes(*word))
}

fn read_full(read_at: &mut ReadAt<'_>, offset: u64, size: usize) -> Result<Vec<u8>, Errno> {
    let mut bytes = vec![0; size];
    let mut done = 0;
    while let Some(rest) = bytes.get_mut(done..).filter(|rest| !rest.is_empty()) {
        let at = offset.checked_add(done as u64).ok_or(Errno::NOEXEC)?;
        match read_at(at, rest)? {
            0 => return Err(Errno::NOEXEC),
            count => done += count.min(size - done),
        }
    }
    Ok(bytes)
}

/// Reads the headers. `Ok(None)`: no ELF file.
///
/// Errors: `ENOEXEC` (a broken or cut-off ELF file, or one of another byte order), or what `read_at` gives.
pub fn inspect(read_at: &mut ReadAt<'_>) -> Result<Option<Program>, Errno> {
    let header = match read_full(read_at, 0, HEADER_SIZE) {
        Ok(header) => header,
        // Shorter than a header: an ELF file if it says so, else anything.
        Err(Errno::NOEXEC) => {
            return match read_full(read_at, 0, MAGIC.len()) {
                Ok(magic) if magic == MAGIC => Err(Errno::NOEXEC),
                Ok(_) | Err(Errno::NOEXEC) => Ok(None),
                Err(errno) => Err(errno),
            };
        }
        Err(errno) => return Err(errno),
    };
    if !header.starts_with(MAGIC) {
        return Ok(None);
    }
    if header.get(5) != Some(&LITTLE_ENDIAN) {
        return Err(Errno::NOEXEC);
    }
    parse(&header, read_at).map(Some)
}

fn parse(header: &[u8], read_at: &mut ReadAt<'_>) -> Result<Program, Errno> {
    let field = |at| u16_at(header, at).ok_or(Errno::NOEXEC);
    let (kind, machine) = (field(16)?, field(18)?);
    match header.get(4) {
        Some(&CLASS_64) => {}
        Some(&CLASS_32) => {
            return Ok(Program {
                class: Class::Bits32,
                kind,
                machine,
                interpreter: None,
            });
        }
        _ => return Err(Errno::NOEXEC),
    }
    let table_offset = u64_at(header, 32).ok_or(Errno::NOEXEC)?;
    let size = usize::from(field(56)?) * PROGRAM_HEADER_SIZE;
    if usize::from(field(54)?) != PROGRAM_HEADER_SIZE || size == 0 || size > TABLE_LIMIT {
        return Err(Errno::NOEXEC);
    }
    let table = read_full(read_at, table_offset, size)?;
    for (index, entry) in table.chunks_exact(PROGRAM_HEADER_SIZE).enumerate() {
        if u32_at(entry, 0) != Some(PT_INTERP) {
            continue;
        }
        let (offset, length) = (u64_at(entry, 8), u64_at(entry, 32));
        let (Some(offset), Some(length @ 2..=PATH_MAX)) = (offset, length) else {
            return Err(Errno::NOEXEC);
        };
        let mut path = read_full(read_at, offset, length as usize)?;
        if path.pop() != Some(0) {
            return Err(Errno::NOEXEC);
        }
        // The kernel opens it as a string: up to the first NUL.
        if let Some(end) = path.iter().position(|&byte| byte == 0) {
            path.truncate(end);
        }
        let header_offset = table_offset.saturating_add((index * PROGRAM_HEADER_SIZE) as u64);
        let interpreter = Some(Interpreter {
            path,
            header_offset,
        });
        return Ok(Program {
            class: Class::Bits64,
            kind,
            machine,
            interpreter,
        });
    }
    Ok(Program {
        class: Class::Bits64,
        kind,
        machine,
        interpreter: None,
    })
}

/// One change to a copy of a program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Patch {
    /// Offset in the file.
    pub offset: u64,
    /// Bytes to write there.
    pub bytes: Vec<u8>,
}

/// The changes that make a copy of a program of `file_size` bytes ask for the interpreter `path`: the string behind
/// the file's end, and the program header that points at it. The address in memory stays, so a loader that looks at
/// its program's headers finds the name it knows.
///
/// Errors: `EINVAL` (the program has no interpreter), `ENAMETOOLONG`, `EFBIG`.
pub fn redirect_interpreter(
    program: &Program,
    file_size: u64,
    path: &[u8],
) -> Result<[Patch; 3], Errno> {
    let header = program
        .interpreter
        .as_ref()
        .ok_or(Errno::INVAL)?
        .header_offset;
    let length = path.len() as u64 + 1;
    if length > PATH_MAX || path.contains(&0) {
        return Err(Errno::NAMETOOLONG);
    }
    if file_size
        .checked_add(length)
        .is_none_or(|end| end > i64::MAX as u64)
    {
        return Err(Errno::FBIG);
    }
    let text = [path, &[0]].concat();
    let field = |at: u64| header.checked_add(at).ok_or(Errno::FBIG);
    let sizes = [length.to_le_bytes(), length.to_le_bytes()].concat();
    Ok([
        Patch {
            offset: file_size,
            bytes: text,
        },
        Patch {
            offset: field(8)?,
            bytes: file_size.to_le_bytes().to_vec(),
        }, // p_offset
        Patch {
            offset: field(32)?,
            bytes: sizes,
        }, // p_filesz, p_memsz
    ])
}

/// A copy of a program that asks for the interpreter `path`.
///
/// Errors: `ENOEXEC` (no ELF program), and those of [`redirect_interpreter`].
pub fn with_interpreter(program: &[u8], path: &[u8]) -> Result<Vec<u8>, Errno> {
    let headers = inspect(&mut bytes_reader(program))?.ok_or(Errno::NOEXEC)?;
    let mut copy = program.to_vec();
    for patch in redirect_interpreter(&headers, program.len() as u64, path)? {
        let start = usize::try_from(patch.offset).map_err(|_| Errno::FBIG)?;
        let end = start.checked_add(patch.bytes.len()).ok_or(Errno::FBIG)?;
        if copy.len() < end {
            copy.resize(end, 0);
        }
        if let Some(place) = copy.get_mut(start..end) {
            place.copy_from_slice(&patch.bytes);
        }
    }
    Ok(copy)
}

/// Reads from bytes in memory, for [`inspect`].
pub fn bytes_reader(bytes: &[u8]) -> impl FnMut(u64, &mut [u8]) -> Result<usize, Errno> {
    move |offset, buffer| {
        let rest = usize::try_from(offset)
            .ok()
            .and_then(|at| bytes.get(at..))
            .unwrap_or(&[]);
        let count = rest.len().min(buffer.len());
        if let (Some(to), Some(from)) = (buffer.get_mut(..count), rest.get(..count)) {
            to.copy_from_slice(from);
        }
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &[u8]) -> Result<Option<Program>, Errno> {
        inspect(&mut bytes_reader(bytes))
    }

    /// A header, one PT_INTERP entry and its string.
    fn small_program() -> Vec<u8> {
        let mut bytes = vec![0; HEADER_SIZE + PROGRAM_HEADER_SIZE];
        bytes[..6].copy_from_slice(b"\x7fELF\x02\x01");
        bytes[16] = 3;
        bytes[18] = MACHINE_X86_64 as u8;
        bytes[32] = HEADER_SIZE as u8;
        bytes[54] = PROGRAM_HEADER_SIZE as u8;
        bytes[56] = 1;
        bytes[64] = PT_INTERP as u8;
        bytes[64 + 8] = 120;
        bytes[64 + 32] = 11;
        bytes.extend_from_slice(b"/lib/ld.so\0");
        bytes
    }

    #[test]
    fn the_interpreter_is_found_and_replaced() {
        let bytes = small_program();
        let program = read(&bytes).unwrap().unwrap();
        assert_eq!(
            (program.class, program.kind, program.machine),
            (Class::Bits64, 3, 62)
        );
        assert_eq!(program.interpreter.unwrap().path, b"/lib/ld.so");
        let copy = with_interpreter(&bytes, b"/dev/fd/1000").unwrap();
        assert_eq!(
            read(&copy).unwrap().unwrap().interpreter.unwrap().path,
            b"/dev/fd/1000"
        );
        // The old string and the rest of the file stay.
        assert_eq!(copy[120..131], bytes[120..131]);
        assert_eq!(copy.len(), bytes.len() + 13);
    }

    #[test]
    fn this_very_program() {
        let bytes = std::fs::read("/proc/self/exe").unwrap();
        let program = read(&bytes).unwrap().unwrap();
        assert_eq!(program.machine, MACHINE_X86_64);
    }

    #[test]
    fn no_program_and_broken_ones() {
        assert_eq!(read(b""), Ok(None));
        assert_eq!(read(b"#!/bin/sh\n"), Ok(None));
        assert_eq!(read(&[b'x'; 100]), Ok(None));
        assert_eq!(read(b"\x7fELF\x02\x01"), Err(Errno::NOEXEC));
        assert_eq!(with_interpreter(b"text", b"/ld"), Err(Errno::NOEXEC));
    }

    #[test]
    fn no_mutation_panics() {
        let good = small_program();
        for at in 0..good.len() {
            for value in [0, 1, 0x7f, 0x80, 0xff] {
                let mut bytes = good.clone();
                bytes[at] = value;
                let _ = read(&bytes);
                let _ = with_interpreter(&bytes, b"/x");
            }
            let _ = read(&good[..at]);
        }
        let mut far = good.clone();
        far[32..40].copy_from_slice(&u64::MAX.to_le_bytes());
        assert_eq!(read(&far), Err(Errno::NOEXEC));
        let mut far = good;
        far[72..80].copy_from_slice(&(u64::MAX - 3).to_le_bytes());
        assert_eq!(read(&far), Err(Errno::NOEXEC));
    }
}
