//! Several files in one: how long each of them is, then their contents one after the other. How many there
//! are, the reader knows.

use std::io::{self, Read};

const LENGTH_BYTES: usize = size_of::<u64>();

/// Bytes that stand before the contents of so many files.
pub fn table_bytes(count: usize) -> usize {
    count * LENGTH_BYTES
}

/// What stands before the contents of files of these lengths.
pub fn table(lengths: &[u64]) -> Vec<u8> {
    lengths.iter().flat_map(|length| length.to_le_bytes()).collect()
}

/// Reads so many files of at most `bytes_max` each; nothing may be left over.
///
/// # Errors
/// When the reader fails, ends too early or holds more, or when one of them is longer.
pub fn read(mut from: impl Read, count: usize, bytes_max: u64) -> io::Result<Vec<Vec<u8>>> {
    let mut table = vec![0; table_bytes(count)];
    from.read_exact(&mut table)?;
    let (lengths, _) = table.as_chunks::<LENGTH_BYTES>();
    let parts = lengths.iter().map(|length| {
        let length = u64::from_le_bytes(*length);
        if length > bytes_max {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        let mut part = Vec::new();
        match from.by_ref().take(length).read_to_end(&mut part)? as u64 == length {
            true => Ok(part),
            false => Err(io::ErrorKind::UnexpectedEof.into()),
        }
    });
    let parts = parts.collect::<io::Result<_>>()?;
    match from.read(&mut [0])? {
        0 => Ok(parts),
        _ => Err(io::ErrorKind::InvalidData.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_come_back_as_they_were_and_what_is_damaged_is_refused() {
        let files = [&b"chain"[..], b"", b"key"];
        let mut whole = table(&files.map(|file| file.len() as u64));
        assert_eq!(whole.len(), table_bytes(3));
        whole.extend(files.concat());
        assert_eq!(read(&whole[..], 3, 5).unwrap(), files);
        assert_eq!(read(&b""[..], 0, 5).unwrap(), Vec::<Vec<u8>>::new());
        let kind = |result: io::Result<_>| result.unwrap_err().kind();
        assert_eq!(kind(read(&whole[..], 3, 4)), io::ErrorKind::FileTooLarge);
        assert_eq!(kind(read(&whole[1..], 3, 5)), io::ErrorKind::FileTooLarge);
        assert_eq!(kind(read(&whole[..9], 3, 5)), io::ErrorKind::UnexpectedEof);
        for cut in table_bytes(3)..whole.len() {
            assert_eq!(kind(read(&whole[..cut], 3, 5)), io::ErrorKind::UnexpectedEof);
        }
        whole.push(0);
        assert_eq!(kind(read(&whole[..], 3, 5)), io::ErrorKind::InvalidData);
    }
}
