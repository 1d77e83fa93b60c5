//! A sum over a page of memory, by which a change is noticed.
//!
//! The sum is NH (RFC 4418, section 5.2.2) on words of 64 bits: each word is mixed with a key of its own, and the products of
//! neighbours are added. Where the processor can multiply without carry, several at once, "mixed", "product" and "added"
//! are those of polynomials over GF(2), which is the same in another field and two to three times as fast. With random keys
//! two pages that differ have the same sum with a probability of 2^-64 at most, whatever they are.
//!
//! One process uses one of the kinds; a sum means nothing to another process. No locks.

use std::arch::x86_64::{
    __m128i, __m256i, __m512i, _mm_extract_epi64, _mm_xor_si128, _mm256_castsi256_si128,
    _mm256_clmulepi64_epi128, _mm256_extracti128_si256, _mm256_loadu_si256, _mm256_setzero_si256,
    _mm256_xor_si256, _mm512_castsi512_si256, _mm512_clmulepi64_epi128, _mm512_extracti64x4_epi64,
    _mm512_loadu_si512, _mm512_setzero_si512, _mm512_xor_si512,
};
use std::ptr;
use std::sync::OnceLock;
use std::sync::atomic::AtomicU64;

/// Bytes of a page.
pub const PAGE_BYTES: usize = 4096;
/// Words of a page.
pub const PAGE_WORDS: usize = PAGE_BYTES / size_of::<u64>();

/// Of a page's length, and aligned as one needs it.
#[repr(C, align(64))]
#[derive(Debug)]
pub struct Page(pub [AtomicU64; PAGE_WORDS]);

/// Random words.
#[repr(C, align(64))]
#[derive(Debug)]
pub struct Keys(pub [u64; PAGE_WORDS]);

/// How this process multiplies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// 512 bits at once, without carry.
    Wide,
    /// 256 bits at once, without carry.
    Half,
    /// One word at a time, with carry.
    Words,
}

fn kind() -> Kind {
    static KIND: OnceLock<Kind> = OnceLock::new();
    *KIND.get_or_init(|| {
        let multiplies = is_x86_feature_detected!("vpclmulqdq");
        if multiplies && is_x86_feature_detected!("avx512f") {
            Kind::Wide
        } else if multiplies && is_x86_feature_detected!("avx2") {
            Kind::Half
        } else {
            Kind::Words
        }
    })
}

/// The sum of a page that others may write to meanwhile.
pub fn digest(page: &Page, keys: &Keys) -> u128 {
    // SAFETY: a page is as long and as aligned as it has to be, and lives through the call.
    unsafe { sum::<true>(kind(), page.0.as_ptr().cast(), keys) }
}

/// The sum of a page of this process's own.
pub fn digest_bytes(page: &[u8; PAGE_BYTES], keys: &Keys) -> u128 {
    // SAFETY: as above; alignment is asked for only of what is shared.
    unsafe { sum::<false>(kind(), page.as_ptr(), keys) }
}

/// # Safety
/// `page` is `PAGE_BYTES` readable bytes, aligned as [`Page`] is when they are shared; the processor can do `kind`.
unsafe fn sum<const SHARED: bool>(kind: Kind, page: *const u8, keys: &Keys) -> u128 {
    // SAFETY: the caller's promise is what these ask for.
    unsafe {
        match kind {
            Kind::Wide => wide::<SHARED>(page.cast(), keys),
            Kind::Half => half::<SHARED>(page.cast(), keys),
            Kind::Words => words(page, keys),
        }
    }
}

/// # Safety
/// As [`sum`].
unsafe fn words(page: *const u8, keys: &Keys) -> u128 {
    let (key_pairs, _) = keys.0.as_chunks::<2>();
    let mut sum: u128 = 0;
    for (pair, [key_a, key_b]) in key_pairs.iter().enumerate() {
        let place = pair * 2 * size_of::<u64>();
        // SAFETY: there is a pair of words for each pair of keys. An array of bytes needs no alignment; it is volatile since
        // other processes may write meanwhile.
        let [a, b] = unsafe { page.add(place).cast::<[[u8; 8]; 2]>().read_volatile() };
        let product = u128::from(u64::from_le_bytes(a).wrapping_add(*key_a))
            * u128::from(u64::from_le_bytes(b).wrapping_add(*key_b));
        sum = sum.wrapping_add(product);
    }
    sum
}

/// Lanes that do not wait for each other.
const LANES: usize = 4;

/// # Safety
/// As [`sum`].
#[target_feature(enable = "avx512f,vpclmulqdq")]
unsafe fn wide<const SHARED: bool>(page: *const __m512i, keys: &Keys) -> u128 {
    let mut sums = [_mm512_setzero_si512(); LANES];
    let key = ptr::from_ref(keys).cast::<__m512i>();
    for step in 0..PAGE_BYTES / size_of::<__m512i>() / LANES {
        for (lane, sum) in sums.iter_mut().enumerate() {
            let at = step * LANES + lane;
            // SAFETY: `at` counts the vectors of a page, and what is shared is aligned to them. Other processes may write
            // meanwhile: the read is volatile then, and whatever it finds is a value.
            let data = unsafe {
                match SHARED {
                    true => page.add(at).read_volatile(),
                    false => _mm512_loadu_si512(page.add(at)),
                }
            };
            // SAFETY: there are as many keys.
            let mixed = _mm512_xor_si512(data, unsafe { _mm512_loadu_si512(key.add(at)) });
            *sum = _mm512_xor_si512(*sum, _mm512_clmulepi64_epi128::<1>(mixed, mixed));
        }
    }
    let [a, b, c, d] = sums;
    let sum = _mm512_xor_si512(_mm512_xor_si512(a, b), _mm512_xor_si512(c, d));
    let upper = _mm512_extracti64x4_epi64::<1>(sum);
    fold(_mm256_xor_si256(_mm512_castsi512_si256(sum), upper))
}

/// # Safety
/// As [`sum`].
#[target_feature(enable = "avx2,vpclmulqdq")]
unsafe fn half<const SHARED: bool>(page: *const __m256i, keys: &Keys) -> u128 {
    let mut sums = [_mm256_setzero_si256(); LANES];
    let key = ptr::from_ref(keys).cast::<__m256i>();
    for step in 0..PAGE_BYTES / size_of::<__m256i>() / LANES {
        for (lane, sum) in sums.iter_mut().enumerate() {
            let at = step * LANES + lane;
            // SAFETY: as in `wide`.
            let data = unsafe {
                match SHARED {
                    true => page.add(at).read_volatile(),
                    false => _mm256_loadu_si256(page.add(at)),
                }
            };
            // SAFETY: there are as many keys.
            let mixed = _mm256_xor_si256(data, unsafe { _mm256_loadu_si256(key.add(at)) });
            *sum = _mm256_xor_si256(*sum, _mm256_clmulepi64_epi128::<1>(mixed, mixed));
        }
    }
    let [a, b, c, d] = sums;
    fold(_mm256_xor_si256(
        _mm256_xor_si256(a, b),
        _mm256_xor_si256(c, d),
    ))
}

#[target_feature(enable = "avx2")]
fn fold(sum: __m256i) -> u128 {
    let upper = _mm256_extracti128_si256::<1>(sum);
    let sum: __m128i = _mm_xor_si128(_mm256_castsi256_si128(sum), upper);
    let low = _mm_extract_epi64::<0>(sum).cast_unsigned();
    let high = _mm_extract_epi64::<1>(sum).cast_unsigned();
    u128::from(high) << 64 | u128::from(low)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::Ordering;

    /// Numbers without a pattern.
    fn noise(seed: u64) -> [u64; PAGE_WORDS] {
        let mut state = seed;
        std::array::from_fn(|_| {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            state ^ state >> 29
        })
    }

    /// The sum of a page, the same in both ways.
    fn digest_as(kind: Kind, page: &Page, keys: &Keys) -> u128 {
        let mut bytes = [0; PAGE_BYTES + 1];
        for (to, from) in bytes[1..].chunks_exact_mut(8).zip(&page.0) {
            to.copy_from_slice(&from.load(Ordering::Relaxed).to_le_bytes());
        }
        // SAFETY: both are as long as a page; the kinds are those that `kind` has found, or less.
        let [shared, own] = unsafe {
            [
                sum::<true>(kind, page.0.as_ptr().cast(), keys),
                sum::<false>(kind, bytes[1..].as_ptr(), keys),
            ]
        };
        assert_eq!(shared, own);
        shared
    }

    fn kinds() -> Vec<Kind> {
        let all = [Kind::Words, Kind::Half, Kind::Wide];
        let most = all.iter().position(|one| *one == kind()).unwrap();
        all[..=most].to_vec()
    }

    #[test]
    fn every_bit_of_a_page_counts() {
        let keys = Keys(noise(1));
        let data = noise(2);
        for kind in kinds() {
            let page = Page(data.map(AtomicU64::new));
            let plain = digest_as(kind, &page, &keys);
            assert_eq!(digest_as(kind, &page, &keys), plain);
            for word in &page.0 {
                for bit in 0..64 {
                    word.fetch_xor(1 << bit, Ordering::Relaxed);
                    assert_ne!(digest_as(kind, &page, &keys), plain);
                    word.fetch_xor(1 << bit, Ordering::Relaxed);
                }
            }
            page.0[0].store(
                page.0[2].swap(data[0], Ordering::Relaxed),
                Ordering::Relaxed,
            );
            assert_ne!(
                digest_as(kind, &page, &keys),
                plain,
                "{kind:?}: words changed places"
            );
        }
    }

    #[test]
    fn without_carry_both_widths_agree_with_the_definition() {
        let (keys, data) = (Keys(noise(3)), noise(4));
        let page = Page(data.map(AtomicU64::new));
        let product = |a: u64, b: u64| {
            (0..64)
                .filter(|bit| b >> bit & 1 == 1)
                .fold(0, |sum, bit| sum ^ u128::from(a) << bit)
        };
        let expected = (0..PAGE_WORDS / 2).fold(0, |sum, pair| {
            let [a, b] = [2 * pair, 2 * pair + 1].map(|place| data[place] ^ keys.0[place]);
            sum ^ product(a, b)
        });
        for kind in kinds().into_iter().filter(|kind| *kind != Kind::Words) {
            assert_eq!(digest_as(kind, &page, &keys), expected, "{kind:?}");
        }
    }
}
