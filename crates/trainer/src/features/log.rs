//! A file of features: a header and records of one length, which one process appends and any process reads.
//!
//! ```text
//! header   magic (16 bytes), key (32), rank (4), dimensions (4 × 8), checksum of these (8)
//! record   item (8), checksum of item and values (8), values (4 each)
//! ```
//!
//! Numbers are little-endian, checksums the first bytes of BLAKE3. Whatever a kill, a full disk or a damaged one leaves
//! behind is found by its length or its checksum, and is as good as missing.

use std::{
    collections::BTreeSet,
    fs::{File, OpenOptions},
    io::{self, Read, Seek, SeekFrom, Write},
    path::Path,
};

use super::Key;

const MAGIC: [u8; 16] = *b"graft features 1";
/// Dimensions that the header has room for.
const MAX_RANK: usize = 4;
/// Bytes before the first record.
pub(super) const HEADER_BYTES: usize = 16 + 32 + 4 + MAX_RANK * 8 + 8;
/// Bytes of a record before its values.
const RECORD_HEAD: usize = 16;

/// Bytes of the record of features of these dimensions.
pub(super) fn record_bytes(dims: &[usize]) -> u64 {
    (RECORD_HEAD + 4 * dims.iter().product::<usize>()) as u64
}

/// A file that this process appends to.
pub(super) struct LogWriter {
    file: File,
    /// Bytes that are whole.
    length: u64,
    buffer: Vec<u8>,
}

impl LogWriter {
    /// A new file, which must not be there yet.
    pub(super) fn create(path: &Path, key: &Key, dims: &[usize]) -> io::Result<Self> {
        if dims.len() > MAX_RANK {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let mut file = OpenOptions::new().write(true).create_new(true).open(path)?;
        file.write_all(&header(key, dims))?;
        Ok(Self {
            file,
            length: HEADER_BYTES as u64,
            buffer: Vec::new(),
        })
    }

    /// Appends records; after an error the file is as before.
    pub(super) fn append<'r>(
        &mut self,
        records: impl Iterator<Item = (u64, &'r [f32])>,
    ) -> io::Result<()> {
        self.buffer.clear();
        for (item, values) in records {
            write_record(&mut self.buffer, item, values);
        }
        if let Err(error) = self.file.write_all(&self.buffer) {
            // A part of a record would shift those after it; where even this fails the checksums tell.
            let _ = self.file.set_len(self.length);
            let _ = self.file.seek(SeekFrom::Start(self.length));
            return Err(error);
        }
        self.length += self.buffer.len() as u64;
        Ok(())
    }
}

/// A file that is read, and how far it has been looked at.
pub(super) struct LogReader {
    file: File,
    dims: Vec<usize>,
    /// Records that were looked at.
    scanned: u64,
    /// Records whose checksum was right.
    checked: BTreeSet<u64>,
    buffer: Vec<u8>,
}

impl LogReader {
    /// Opens a file; `None` if it is no whole file of this key.
    pub(super) fn open(path: &Path, key: &Key) -> io::Result<Option<Self>> {
        let mut file = File::open(path)?;
        let mut bytes = [0; HEADER_BYTES];
        match file.read_exact(&mut bytes) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
            Err(error) => return Err(error),
        }
        let number = |at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().expect("8 bytes"));
        let rank = u32::from_le_bytes(bytes[48..52].try_into().expect("4 bytes")) as usize;
        let dims: Vec<usize> = (0..rank.min(MAX_RANK))
            .map(|d| number(52 + 8 * d) as usize)
            .collect();
        Ok((bytes == header(key, &dims)).then(|| Self {
            file,
            dims,
            scanned: 0,
            checked: BTreeSet::new(),
            buffer: Vec::new(),
        }))
    }

    /// The dimensions of the features of one picture.
    pub(super) fn dims(&self) -> &[usize] {
        &self.dims
    }

    /// Hands the items and numbers of the records that were added since the last scan to `found`.
    pub(super) fn scan(&mut self, mut found: impl FnMut(u64, u64)) -> io::Result<()> {
        let step = record_bytes(&self.dims);
        let length = self.file.metadata()?.len();
        let records = length.saturating_sub(HEADER_BYTES as u64) / step;
        while self.scanned < records {
            let mut item = [0; 8];
            self.file
                .seek(SeekFrom::Start(HEADER_BYTES as u64 + self.scanned * step))?;
            self.file.read_exact(&mut item)?;
            found(u64::from_le_bytes(item), self.scanned);
            self.scanned += 1;
        }
        Ok(())
    }

    /// Reads the values of a record into `values`; `false` if it is not a whole record of `item`. Its checksum is looked at
    /// the first time.
    pub(super) fn read(&mut self, record: u64, item: u64, values: &mut [f32]) -> bool {
        let step = record_bytes(&self.dims);
        self.buffer.resize(step as usize, 0);
        let start = SeekFrom::Start(HEADER_BYTES as u64 + record * step);
        let read = self.file.seek(start);
        if read
            .and_then(|_| self.file.read_exact(&mut self.buffer))
            .is_err()
        {
            return false;
        }
        let (head, bytes) = self.buffer.split_at(RECORD_HEAD);
        if head[..8] != item.to_le_bytes() {
            return false;
        }
        if !self.checked.contains(&record) {
            if head[8..] != checksum(&[&head[..8], bytes]) {
                return false;
            }
            self.checked.insert(record);
        }
        for (value, bytes) in values.iter_mut().zip(bytes.as_chunks().0) {
            *value = f32::from_le_bytes(*bytes);
        }
        true
    }
}

fn header(key: &Key, dims: &[usize]) -> [u8; HEADER_BYTES] {
    let mut bytes = [0; HEADER_BYTES];
    bytes[..16].copy_from_slice(&MAGIC);
    bytes[16..48].copy_from_slice(key.as_bytes());
    bytes[48..52].copy_from_slice(&(dims.len() as u32).to_le_bytes());
    for (place, &dim) in bytes[52..].chunks_exact_mut(8).zip(dims) {
        place.copy_from_slice(&(dim as u64).to_le_bytes());
    }
    let (start, end) = bytes.split_at_mut(HEADER_BYTES - 8);
    end.copy_from_slice(&checksum(&[start]));
    bytes
}

fn write_record(buffer: &mut Vec<u8>, item: u64, values: &[f32]) {
    let start = buffer.len();
    buffer.extend(item.to_le_bytes());
    buffer.extend([0; 8]);
    buffer.resize(start + RECORD_HEAD + 4 * values.len(), 0);
    let (head, bytes) = buffer[start..].split_at_mut(RECORD_HEAD);
    for (bytes, value) in bytes.as_chunks_mut().0.iter_mut().zip(values) {
        *bytes = value.to_le_bytes();
    }
    let sum = checksum(&[&head[..8], bytes]);
    head[8..].copy_from_slice(&sum);
}

fn checksum(parts: &[&[u8]]) -> [u8; 8] {
    let mut hasher = blake3::Hasher::new();
    for part in parts {
        hasher.update(part);
    }
    hasher.finalize().as_bytes()[..8]
        .try_into()
        .expect("a hash has 32 bytes")
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIMS: [usize; 2] = [2, 3];

    fn items(reader: &mut LogReader) -> Vec<u64> {
        let mut items = Vec::new();
        reader.scan(|item, _| items.push(item)).unwrap();
        items
    }

    /// A file with the items 7 and 9.
    fn two(path: &Path, key: &Key) -> LogWriter {
        let mut writer = LogWriter::create(path, key, &DIMS).unwrap();
        let records = [(7, &[0.5; 6][..]), (9, &[-1.0; 6])];
        writer.append(records.into_iter()).unwrap();
        writer
    }

    #[test]
    fn what_is_appended_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let (path, key) = (folder.path().join("log"), Key::of(b"a"));
        let mut writer = two(&path, &key);
        let mut reader = LogReader::open(&path, &key).unwrap().unwrap();
        assert_eq!(reader.dims(), DIMS);
        assert_eq!(items(&mut reader), [7, 9]);
        writer.append([(1, &[2.0; 6][..])].into_iter()).unwrap();
        assert_eq!(items(&mut reader), [1]);
        let mut values = [0.0; 6];
        assert!(reader.read(1, 9, &mut values));
        assert_eq!(values, [-1.0; 6]);
        assert!(!reader.read(1, 7, &mut values), "another item");
        assert!(!reader.read(3, 7, &mut values), "no such record");
        assert!(LogWriter::create(&path, &key, &DIMS).is_err());
    }

    #[test]
    fn a_foreign_or_damaged_header_is_no_log() {
        let folder = tempfile::tempdir().unwrap();
        let (path, key) = (folder.path().join("log"), Key::of(b"a"));
        two(&path, &key);
        assert!(LogReader::open(&path, &Key::of(b"b")).unwrap().is_none());
        let good = std::fs::read(&path).unwrap();
        for at in [0, 20, 48, 49, 52, 60, 80, HEADER_BYTES - 1] {
            let mut bad = good.clone();
            bad[at] ^= 0x10;
            std::fs::write(&path, bad).unwrap();
            assert!(LogReader::open(&path, &key).unwrap().is_none(), "{at}");
        }
        for length in [0, 1, HEADER_BYTES - 1] {
            std::fs::write(&path, &good[..length]).unwrap();
            assert!(LogReader::open(&path, &key).unwrap().is_none(), "{length}");
        }
    }

    #[test]
    fn every_damaged_bit_and_every_cut_is_found() {
        let folder = tempfile::tempdir().unwrap();
        let (path, key) = (folder.path().join("log"), Key::of(b"a"));
        two(&path, &key);
        let good = std::fs::read(&path).unwrap();
        let record = record_bytes(&DIMS) as usize;
        let mut values = [0.0; 6];
        for bit in 0..8 * record {
            let mut bad = good.clone();
            bad[HEADER_BYTES + bit / 8] ^= 1 << (bit % 8);
            std::fs::write(&path, bad).unwrap();
            let mut reader = LogReader::open(&path, &key).unwrap().unwrap();
            assert!(!reader.read(0, 7, &mut values), "{bit}");
            assert!(reader.read(1, 9, &mut values));
        }
        for cut in 1..record {
            std::fs::write(&path, &good[..good.len() - cut]).unwrap();
            let mut reader = LogReader::open(&path, &key).unwrap().unwrap();
            assert_eq!(items(&mut reader), [7]);
            assert!(!reader.read(1, 9, &mut values), "{cut}");
        }
    }
}
