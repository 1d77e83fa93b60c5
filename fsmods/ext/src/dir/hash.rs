//! The hash functions that order the entries of indexed directories: legacy, half MD4 and TEA, each
//! with name bytes taken as signed or unsigned (the machine that made the file system decided which).

/// Which function, `dx_root_info.hash_version`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Function {
    Legacy,
    HalfMd4,
    Tea,
}

impl Function {
    /// From the number in the root of the tree, with the superblock's word on signedness.
    pub(crate) fn from_number(number: u8, is_unsigned: bool) -> Option<(Self, bool)> {
        Some(match number {
            0 => (Self::Legacy, is_unsigned),
            1 => (Self::HalfMd4, is_unsigned),
            2 => (Self::Tea, is_unsigned),
            _ => return None,
        })
    }
}

const DEFAULT_SEED: [u32; 4] = [0x6745_2301, 0xefcd_ab89, 0x98ba_dcfe, 0x1032_5476];
/// The largest hash marks the end of a directory for readers; names never get it.
const END_OF_DIRECTORY: u32 = 0xffff_fffe;

/// The hash of a name; the lowest bit is clear.
pub(crate) fn hash(function: Function, is_unsigned: bool, seed: &[u32; 4], name: &[u8]) -> u32 {
    let start = if seed.iter().all(|word| *word == 0) {
        DEFAULT_SEED
    } else {
        *seed
    };
    let value = match function {
        Function::Legacy => legacy(name, is_unsigned),
        Function::HalfMd4 => {
            let mut state = start;
            for piece in name.chunks(32) {
                half_md4(
                    &mut state,
                    &words::<8>(piece, name_left(name, piece), is_unsigned),
                );
            }
            state[1]
        }
        Function::Tea => {
            let mut state = start;
            for piece in name.chunks(16) {
                tea(
                    &mut state,
                    &words::<4>(piece, name_left(name, piece), is_unsigned),
                );
            }
            state[0]
        }
    };
    match value & !1 {
        END_OF_DIRECTORY => END_OF_DIRECTORY - 2,
        value => value,
    }
}

/// How many bytes of the name there are from this piece on.
fn name_left(name: &[u8], piece: &[u8]) -> usize {
    let start = (piece.as_ptr() as usize).saturating_sub(name.as_ptr() as usize);
    name.len().saturating_sub(start)
}

fn widen(byte: u8, is_unsigned: bool) -> u32 {
    if is_unsigned {
        u32::from(byte)
    } else {
        i32::from(byte.cast_signed()).cast_unsigned()
    }
}

/// Packs a piece of a name into words, most significant byte first; what is missing is filled with the
/// length of what was left of the name.
fn words<const N: usize>(piece: &[u8], left: usize, is_unsigned: bool) -> [u32; N] {
    let length = left as u32 & 0xff;
    let fill = length * 0x0101_0101;
    let mut chunks = piece.chunks(4);
    std::array::from_fn(|_| match chunks.next() {
        None => fill,
        Some(chunk) => chunk.iter().fold(fill, |word, byte| {
            widen(*byte, is_unsigned).wrapping_add(word << 8)
        }),
    })
}

fn legacy(name: &[u8], is_unsigned: bool) -> u32 {
    let (mut newer, mut older) = (0x12a3_fe2du32, 0x37ab_e8f9u32);
    for byte in name {
        let mut next =
            older.wrapping_add(newer ^ widen(*byte, is_unsigned).wrapping_mul(7_152_373));
        if next & 0x8000_0000 != 0 {
            next = next.wrapping_sub(0x7fff_ffff);
        }
        older = newer;
        newer = next;
    }
    newer << 1
}

/// One pass of the Tiny Encryption Algorithm, 16 cycles.
fn tea(state: &mut [u32; 4], key: &[u32; 4]) {
    let [mut left, mut right, _, _] = *state;
    let [a, b, c, d] = *key;
    let mut sum = 0u32;
    for _ in 0..16 {
        sum = sum.wrapping_add(0x9e37_79b9);
        let mix = |half: u32, low: u32, high: u32| {
            (half << 4).wrapping_add(low) ^ half.wrapping_add(sum) ^ (half >> 5).wrapping_add(high)
        };
        left = left.wrapping_add(mix(right, a, b));
        right = right.wrapping_add(mix(left, c, d));
    }
    state[0] = state[0].wrapping_add(left);
    state[1] = state[1].wrapping_add(right);
}

/// MD4 with three shortened rounds.
fn half_md4(state: &mut [u32; 4], input: &[u32; 8]) {
    /// Order of the input words, additive constant and rotations of each round.
    const ROUNDS: [([usize; 8], u32, [u32; 4]); 3] = [
        ([0, 1, 2, 3, 4, 5, 6, 7], 0, [3, 7, 11, 19]),
        ([1, 3, 5, 7, 0, 2, 4, 6], 0x5a82_7999, [3, 5, 9, 13]),
        ([3, 7, 2, 6, 1, 5, 0, 4], 0x6ed9_eba1, [3, 9, 11, 15]),
    ];
    let mix = |round: usize, x: u32, y: u32, z: u32| match round {
        0 => z ^ (x & (y ^ z)),
        1 => (x & y).wrapping_add((x ^ y) & z),
        _ => x ^ y ^ z,
    };
    let [mut a, mut b, mut c, mut d] = *state;
    for (round, (order, constant, rotations)) in ROUNDS.into_iter().enumerate() {
        for (step, index) in order.into_iter().enumerate() {
            let word = input
                .get(index)
                .copied()
                .unwrap_or(0)
                .wrapping_add(constant);
            let turn = rotations.get(step % 4).copied().unwrap_or(0);
            let next = a
                .wrapping_add(mix(round, b, c, d))
                .wrapping_add(word)
                .rotate_left(turn);
            // The roles of the four words move on by one.
            (a, b, c, d) = (d, next, b, c);
        }
    }
    for (word, add) in state.iter_mut().zip([a, b, c, d]) {
        *word = word.wrapping_add(add);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Values from `debugfs -R "dx_hash -h FUNCTION -s SEED NAME"`, e2fsprogs 1.47.
    #[test]
    fn values_of_e2fsprogs() {
        let long = "a_rather_long_name_that_exceeds_thirty-two_bytes_and_more.txt";
        let green = "gr\u{fc}n";
        let none = [0u32; 4];
        let some = [0x3322_1100, 0x7766_5544, 0xbbaa_9988, 0xffee_ddcc];
        let cases = [
            (Function::Legacy, none, "hello", 0x3225_2546u32),
            (Function::Legacy, some, long, 0x9be6_dbe4),
            (Function::Legacy, none, green, 0xc202_f150),
            (Function::HalfMd4, none, "a", 0xd5fa_7d7a),
            (Function::HalfMd4, some, "hello", 0x344c_a36e),
            (Function::HalfMd4, none, long, 0x6324_730a),
            (Function::HalfMd4, some, green, 0x595d_57aa),
            (Function::Tea, none, "hello", 0x6f5b_b1a8),
            (Function::Tea, some, long, 0x893c_e2e0),
            (Function::Tea, none, green, 0xa7ae_33b6),
        ];
        for (function, seed, name, expected) in cases {
            let found = hash(function, false, &seed, name.as_bytes());
            assert_eq!(found, expected, "{function:?} of {name}: {found:#x}");
        }
    }

    #[test]
    fn signedness_matters_only_for_high_bytes() {
        for function in [Function::Legacy, Function::HalfMd4, Function::Tea] {
            let hashes = |name: &[u8]| {
                [true, false].map(|unsigned| hash(function, unsigned, &[1, 2, 3, 4], name))
            };
            let [unsigned, signed] = hashes(b"plain");
            assert_eq!(unsigned, signed);
            let [unsigned, signed] = hashes("gr\u{fc}n".as_bytes());
            assert_ne!(unsigned, signed);
        }
    }
}
