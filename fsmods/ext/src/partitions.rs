//! Partition tables (MBR with logical partitions, GPT), read only to tell the user where to look.

use std::fmt::Write as _;

use fuse_compat::BlockSource;

use crate::bytes::{le16, le32, le64, span, u8_at};
use crate::features::Variant;
use crate::probe::ext_at;

const SECTOR_BYTES: u64 = 512;
const TYPE_GPT: u8 = 0xee;
/// Most partitions looked at; a chain of logical ones may be endless.
const MAX_PARTITIONS: usize = 128;

struct Partition {
    number: usize,
    start_bytes: u64,
    size_bytes: u64,
    label: String,
}

/// Describes the partitions of a disk image, one a line; `None` when there is no partition table.
pub(crate) fn list(source: &dyn BlockSource) -> Option<String> {
    let mut sector = [0u8; 512];
    source.read_at(0, &mut sector).ok()?;
    if le16(&sector, 510) != 0xaa55 {
        return None;
    }
    // A boot sector without a table has code there, and not only these two values in four places.
    let is_table = (0..4).all(|slot| matches!(u8_at(&sector, 446 + slot * 16), 0 | 0x80));
    if !is_table {
        return None;
    }
    let is_gpt = (0..4).any(|slot| u8_at(&sector, 446 + slot * 16 + 4) == TYPE_GPT);
    let gpt = if is_gpt {
        gpt(source, 512).or_else(|| gpt(source, 4096))
    } else {
        None
    };
    let (name, partitions) = match gpt {
        Some(partitions) => ("GPT", partitions),
        None => ("MBR", mbr(source, &sector)),
    };
    if partitions.is_empty() {
        return None;
    }
    let mut text = format!(
        "a disk with {} {name} partitions; choose one with -o offset=BYTES:",
        partitions.len()
    );
    for Partition {
        number,
        start_bytes,
        size_bytes,
        label,
    } in partitions
    {
        let kind = match ext_at(source, start_bytes) {
            Some(Variant::Ext2) => "ext2".to_owned(),
            Some(Variant::Ext3) => "ext3".to_owned(),
            Some(Variant::Ext4) => "ext4".to_owned(),
            None => label,
        };
        let _ = write!(
            text,
            "\n  {number}: offset={start_bytes} size={size_bytes} {kind}"
        );
    }
    Some(text)
}

fn mbr(source: &dyn BlockSource, sector: &[u8]) -> Vec<Partition> {
    let mut found = Vec::new();
    for slot in 0..4usize {
        let (kind, start, count) = mbr_entry(sector, slot);
        if kind == 0 || count == 0 {
            continue;
        }
        if matches!(kind, 0x05 | 0x0f | 0x85) {
            logical(source, start, &mut found);
            continue;
        }
        found.push(mbr_partition(slot + 1, start, count, kind));
    }
    found.sort_by_key(|partition| partition.number);
    found
}

fn mbr_entry(sector: &[u8], slot: usize) -> (u8, u64, u64) {
    let entry = span(sector, 446 + slot * 16, 446 + slot * 16 + 16);
    (
        u8_at(entry, 4),
        u64::from(le32(entry, 8)),
        u64::from(le32(entry, 12)),
    )
}

fn mbr_partition(number: usize, start: u64, count: u64, kind: u8) -> Partition {
    Partition {
        number,
        start_bytes: start.saturating_mul(SECTOR_BYTES),
        size_bytes: count.saturating_mul(SECTOR_BYTES),
        label: format!("type {kind:#04x}"),
    }
}

/// Follows the chain of extended boot records.
fn logical(source: &dyn BlockSource, base: u64, found: &mut Vec<Partition>) {
    let mut place = base;
    for number in 5..MAX_PARTITIONS {
        let mut sector = [0u8; 512];
        let is_read = place
            .checked_mul(SECTOR_BYTES)
            .is_some_and(|at| source.read_at(at, &mut sector).is_ok());
        if !is_read || le16(&sector, 510) != 0xaa55 {
            return;
        }
        let (kind, start, count) = mbr_entry(&sector, 0);
        if kind != 0 && count != 0 {
            found.push(mbr_partition(
                number,
                place.saturating_add(start),
                count,
                kind,
            ));
        }
        let (next_kind, next, _) = mbr_entry(&sector, 1);
        if next_kind == 0 || next == 0 {
            return;
        }
        place = base.saturating_add(next);
    }
}

fn gpt(source: &dyn BlockSource, sector_bytes: u64) -> Option<Vec<Partition>> {
    let mut header = [0u8; 92];
    source.read_at(sector_bytes, &mut header).ok()?;
    if span(&header, 0, 8) != b"EFI PART" {
        return None;
    }
    let table = le64(&header, 72).checked_mul(sector_bytes)?;
    let count = usize::try_from(le32(&header, 80)).ok()?.min(MAX_PARTITIONS);
    let size = u64::from(le32(&header, 84));
    if !(128..=4096).contains(&size) {
        return None;
    }
    let mut found = Vec::new();
    for slot in 0..count {
        let mut entry = [0u8; 128];
        let at = table.checked_add((slot as u64).checked_mul(size)?)?;
        if source.read_at(at, &mut entry).is_err() {
            break;
        }
        let (first, last) = (le64(&entry, 32), le64(&entry, 40));
        if span(&entry, 0, 16).iter().all(|byte| *byte == 0) || last < first {
            continue;
        }
        let name: Vec<u16> = span(&entry, 56, 128)
            .chunks_exact(2)
            .map(|unit| le16(unit, 0))
            .take_while(|unit| *unit != 0)
            .collect();
        found.push(Partition {
            number: slot + 1,
            start_bytes: first.saturating_mul(sector_bytes),
            size_bytes: (last - first)
                .saturating_add(1)
                .saturating_mul(sector_bytes),
            label: format!("\"{}\"", String::from_utf16_lossy(&name).escape_debug()),
        });
    }
    Some(found)
}
