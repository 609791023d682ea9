//! Text files, read whole and up to a bound.

use std::{
    fs::File,
    io::{self, Read},
    path::Path,
};

/// The text of a configuration file, which may be a pipe: that is what a shell makes of `--conf <(...)`.
pub(crate) fn configuration(path: &Path) -> io::Result<String> {
    read_bounded(File::open(path)?, FILE_BYTES_MAX)
}

/// A whole text file, refused when it is larger than anybody writes by hand: a device or a log given by mistake must
/// not fill the memory.
pub(crate) fn read_bounded(file: File, bytes_max: u64) -> io::Result<String> {
    let mut bytes = Vec::new();
    file.take(bytes_max + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > bytes_max {
        return Err(io::Error::new(
            io::ErrorKind::FileTooLarge,
            format!("larger than {bytes_max} bytes"),
        ));
    }
    String::from_utf8(bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        io::Error::new(io::ErrorKind::InvalidData, format!("not UTF-8 at byte {at}"))
    })
}

/// Far above any site.toml or env file.
pub(crate) const FILE_BYTES_MAX: u64 = 4 << 20;
