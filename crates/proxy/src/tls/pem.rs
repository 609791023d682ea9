//! Certificates and keys in PEM files, as editors, `cat` and file managers leave them.

use std::{
    io::{self, Read},
    path::Path,
};

use config::{CertificateFiles, Identity, Need, PEM_BYTES_MAX, path_problem};
use rustls::pki_types::{
    CertificateDer, PrivateKeyDer,
    pem::{Error, PemObject},
};

use super::certificate::CertificateError;

/// What stands in the files of a certificate and its key.
#[derive(Clone)]
pub(crate) struct Pem {
    pub(crate) chain: Vec<u8>,
    pub(crate) key: Vec<u8>,
}

impl Pem {
    /// Reads both, for who is no proxy: to that the supervisor hands them.
    pub(crate) fn read(files: &CertificateFiles) -> Result<Self, CertificateError> {
        Ok(Self {
            chain: read(&files.certificate)?,
            key: read(&files.key)?,
        })
    }
}

/// The certificates of the file at this path, at least one.
pub(super) fn chain(path: &Path, text: &[u8]) -> Result<Vec<CertificateDer<'static>>, CertificateError> {
    let text = in_lines(text);
    let chain = CertificateDer::pem_slice_iter(&text)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| malformed(path, &error))?;
    if chain.is_empty() {
        return Err(CertificateError::NoCertificate {
            path: path.to_owned(),
            found: found(&text),
        });
    }
    Ok(chain)
}

/// The first private key of the file at this path.
pub(super) fn key(path: &Path, text: &[u8]) -> Result<PrivateKeyDer<'static>, CertificateError> {
    let text = in_lines(text);
    if has(&text, "BEGIN ENCRYPTED PRIVATE KEY") || has(&text, "Proc-Type: 4,ENCRYPTED") {
        return Err(CertificateError::EncryptedKey(path.to_owned()));
    }
    PrivateKeyDer::from_pem_slice(&text).map_err(|error| match error {
        Error::NoItemsFound => CertificateError::NoKey {
            path: path.to_owned(),
            found: found(&text),
        },
        error => malformed(path, &error),
    })
}

/// Why a file cannot be read, in the words in which every other path is told.
pub(super) fn unreadable(path: &Path, error: &io::Error) -> String {
    path_problem(path, &Identity::current(), Need::Read)
        .unwrap_or_else(|| format!("{}: cannot be read: {error}", path.display()))
}

/// What stands in a file that has not what is looked for there, as a part of a sentence.
fn found(text: &[u8]) -> &'static str {
    const KINDS: [(&str, &str); 7] = [
        (
            "BEGIN OPENSSH PRIVATE KEY",
            ", but a key of OpenSSH, which is for logins",
        ),
        ("PRIVATE KEY", ", but a private key"),
        (
            "BEGIN CERTIFICATE REQUEST",
            ", but a request for one, which an authority turns into a certificate",
        ),
        (
            "BEGIN NEW CERTIFICATE REQUEST",
            ", but a request for one, which an authority turns into a certificate",
        ),
        (
            "BEGIN TRUSTED CERTIFICATE",
            ", but one of openssl's own form, which `openssl x509 -in FILE` turns into PEM",
        ),
        (
            "BEGIN PKCS7",
            ", but PKCS #7, which `openssl pkcs7 -print_certs -in FILE` turns into PEM",
        ),
        ("BEGIN CERTIFICATE", ", but a certificate"),
    ];
    if text.is_empty() {
        return ", it is empty";
    }
    // The tag of a sequence, with which every file of ASN.1 begins.
    if text[0] == 0x30 && std::str::from_utf8(text).is_err() {
        return ", but DER or PKCS #12, which `openssl x509 -inform der -in FILE` or `openssl pkcs12 -nodes -in FILE` turns \
                into PEM";
    }
    let kind = KINDS.into_iter().find(|(mark, _)| has(text, mark));
    kind.map_or("", |(_, found)| found)
}

fn malformed(path: &Path, error: &Error) -> CertificateError {
    let what = match error {
        Error::MissingSectionEnd { end_marker } => {
            let label = String::from_utf8_lossy(end_marker);
            let label = label.trim_matches('-').trim_start_matches("END ");
            format!("breaks off before its line `-----END {label}-----`")
        }
        Error::IllegalSectionStart { line } => {
            let line: String = String::from_utf8_lossy(line)
                .trim()
                .chars()
                .take(LINE_CHARS_MAX)
                .collect();
            format!("has the broken line `{}`", line.escape_debug())
        }
        Error::Base64Decode(_) => {
            "has something else than base64 between its lines of BEGIN and END".to_owned()
        }
        _ => "cannot be understood".to_owned(),
    };
    CertificateError::Malformed {
        path: path.to_owned(),
        reason: format!("is not well-formed PEM: it {what}; copy the file anew from where it was made"),
    }
}

/// What editors and `cat` make of PEM: a byte-order mark before the first line, and a file whose last line
/// has no end with the next one glued to it. The parser would pass over what begins there without a word.
fn in_lines(text: &[u8]) -> Vec<u8> {
    let mut lines = Vec::with_capacity(text.len() + BEGIN.len());
    let mut rest = text;
    while let Some(at) = memchr::memmem::find(rest, BEGIN) {
        let (before, begin) = rest.split_at(at);
        lines.extend_from_slice(before.strip_suffix(MARK).unwrap_or(before));
        if lines.last().is_some_and(|last| *last != b'\n') {
            lines.push(b'\n');
        }
        lines.extend_from_slice(BEGIN);
        rest = &begin[BEGIN.len()..];
    }
    lines.extend_from_slice(rest);
    lines
}

fn read(path: &Path) -> Result<Vec<u8>, CertificateError> {
    let unreadable = |error| CertificateError::Unreadable {
        path: path.to_owned(),
        error,
    };
    let mut text = Vec::new();
    config::open_regular(path)
        .and_then(|file| file.take(PEM_BYTES_MAX + 1).read_to_end(&mut text))
        .map_err(unreadable)?;
    if text.len() as u64 > PEM_BYTES_MAX {
        return Err(unreadable(io::ErrorKind::FileTooLarge.into()));
    }
    Ok(text)
}

fn has(text: &[u8], mark: &str) -> bool {
    memchr::memmem::find(text, mark.as_bytes()).is_some()
}

const BEGIN: &[u8] = b"-----BEGIN ";
/// The byte-order mark of UTF-8.
const MARK: &[u8] = b"\xef\xbb\xbf";

/// Of a broken line that is shown.
const LINE_CHARS_MAX: usize = 60;
