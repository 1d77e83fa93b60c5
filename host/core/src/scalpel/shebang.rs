//! The `#!` line of a script, read as fs/binfmt_script.c reads it.

/// How much of a file the kernel looks at (BINPRM_BUF_SIZE of linux/binfmts.h).
pub const HEAD_SIZE: usize = 256;

/// What a `#!` line asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shebang {
    /// Path of the interpreter. May be empty (a NUL follows the `#!`): the kernel then fails with ENOENT.
    pub interpreter: Vec<u8>,
    /// The rest of the line, one argument whatever blanks it holds.
    pub argument: Option<Vec<u8>>,
}

fn is_blank(byte: u8) -> bool {
    byte == b' ' || byte == b'\t'
}

/// Reads the line from the first bytes of a file. `None`: not a script, or a line that the kernel refuses with
/// ENOEXEC (no interpreter, or a name that may have been cut off).
pub fn parse(head: &[u8]) -> Option<Shebang> {
    let mut buffer = [0u8; HEAD_SIZE];
    let count = head.len().min(HEAD_SIZE);
    buffer.get_mut(..count)?.copy_from_slice(head.get(..count)?);
    let rest = buffer.strip_prefix(b"#!")?;
    // The last byte counts as the line's end when there is no newline before the first NUL.
    let text_length = rest
        .iter()
        .position(|&byte| byte == 0)
        .unwrap_or(rest.len());
    let newline = rest
        .get(..text_length)?
        .iter()
        .position(|&byte| byte == b'\n');
    let line = match newline {
        Some(end) => rest.get(..end)?,
        None => {
            let name = rest.iter().position(|&byte| !is_blank(byte))?;
            rest.get(name..)?
                .iter()
                .position(|&byte| is_blank(byte) || byte == 0)?;
            rest.get(..rest.len() - 1)?
        }
    };
    let length = line.iter().rposition(|&byte| !is_blank(byte))? + 1;
    let line = line.get(..length)?;
    let line = line.get(line.iter().position(|&byte| !is_blank(byte))?..)?;
    let (name, tail) = match line.iter().position(|&byte| is_blank(byte) || byte == 0) {
        Some(end) => line.split_at(end),
        None => (line, &[][..]),
    };
    let argument = match tail.first() {
        Some(&byte) if is_blank(byte) => {
            let start = tail.iter().position(|&byte| !is_blank(byte))?;
            let text = tail.get(start..)?;
            text.split(|&byte| byte == 0).next().map(<[u8]>::to_vec)
        }
        _ => None,
    };
    Some(Shebang {
        interpreter: name.to_vec(),
        argument,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn script(interpreter: &str, argument: Option<&str>) -> Option<Shebang> {
        Some(Shebang {
            interpreter: interpreter.into(),
            argument: argument.map(|text| text.as_bytes().to_vec()),
        })
    }

    #[test]
    fn ordinary_lines() {
        assert_eq!(parse(b"#!/bin/sh\necho"), script("/bin/sh", None));
        assert_eq!(parse(b"#! \t/bin/sh  \t\n"), script("/bin/sh", None));
        assert_eq!(parse(b"#!/bin/sh -e\n"), script("/bin/sh", Some("-e")));
        assert_eq!(
            parse(b"#!/usr/bin/env  -S  a b\t \n"),
            script("/usr/bin/env", Some("-S  a b"))
        );
        assert_eq!(parse(b"#!/bin/sh"), script("/bin/sh", None));
        assert_eq!(parse(b"#!/bin/sh -x"), script("/bin/sh", Some("-x")));
        assert_eq!(parse(b"#!sh\n"), script("sh", None));
        assert_eq!(parse(b"#!/bin/sh\r\n"), script("/bin/sh\r", None));
    }

    #[test]
    fn what_is_no_script() {
        for head in [
            &b""[..],
            b"#",
            b"\x7fELF",
            b"# !/bin/sh\n",
            b"#!\n",
            b"#!  \t\n",
        ] {
            assert_eq!(parse(head), None, "{head:?}");
        }
        assert_eq!(parse(&[&b"#!"[..], &[b' '; 300]].concat()), None);
    }

    #[test]
    fn nul_bytes() {
        assert_eq!(parse(b"#!"), script("", None));
        assert_eq!(parse(b"#!  "), script("", None));
        assert_eq!(parse(b"#!/bin/sh\0 -x\n"), script("/bin/sh", None));
        assert_eq!(parse(b"#!/bin/sh a\0b\n"), script("/bin/sh", Some("a")));
    }

    #[test]
    fn long_lines() {
        let name = |length: usize| [&b"#!/"[..], &vec![b'a'; length]].concat();
        // 253 + 3 = 256 bytes and no terminator: may be cut off.
        assert_eq!(parse(&name(253)), None);
        assert_eq!(parse(&name(400)), None);
        // The 256th byte is the newline.
        let line = [name(252), b"\n".to_vec()].concat();
        assert_eq!(parse(&line).map(|s| s.interpreter.len()), Some(253));
        // A name that ends in the buffer is used, its argument is cut at 255 bytes.
        let line = [b"#!/bin/sh ".to_vec(), vec![b'x'; 400]].concat();
        assert_eq!(
            parse(&line).and_then(|s| s.argument).map(|a| a.len()),
            Some(245)
        );
        // A blank in the very last byte terminates the name.
        let line = [name(252), b" rest\n".to_vec()].concat();
        assert_eq!(
            parse(&line).map(|s| (s.interpreter.len(), s.argument)),
            Some((253, None))
        );
    }
}
