//! Content types by file name.

use std::borrow::Cow;

/// The type of a file with this name; texts are UTF-8.
pub(super) fn of(name: &[u8]) -> Cow<'static, str> {
    // The registered name of either is text/javascript (RFC 9239).
    let plain = match plain(name) {
        "application/javascript" | "application/x-javascript" => "text/javascript",
        plain => plain,
    };
    if plain.starts_with("text/") {
        Cow::Owned(format!("{plain}; charset=utf-8"))
    } else {
        Cow::Borrowed(plain)
    }
}

fn plain(name: &[u8]) -> &'static str {
    let extension = name
        .rsplit(|&byte| byte == b'/')
        .next()
        .and_then(|file| Some(&file[memchr::memrchr(b'.', file)? + 1..]))
        .and_then(|extension| std::str::from_utf8(extension).ok());
    extension
        .and_then(|extension| mime_guess::from_ext(extension).first_raw())
        .unwrap_or("application/octet-stream")
}

/// May a file of this type have compressed siblings? Not what is compressed already: looking for them would cost each
/// image three failed opens.
pub(super) fn is_compressible(content_type: &str) -> bool {
    let kind = content_type.split_once('/').map_or("", |(kind, _)| kind);
    match kind {
        "image" => matches!(
            content_type,
            "image/svg+xml" | "image/bmp" | "image/x-icon" | "image/vnd.microsoft.icon" | "image/tiff"
        ),
        "video" | "audio" => false,
        _ => !matches!(
            content_type,
            "application/zip"
                | "application/gzip"
                | "application/x-gzip"
                | "application/x-bzip2"
                | "application/x-xz"
                | "application/x-7z-compressed"
                | "application/zstd"
                | "application/vnd.rar"
                | "application/x-rar-compressed"
                | "font/woff"
                | "font/woff2"
                | "application/font-woff"
                | "application/font-woff2"
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_follow_the_name() {
        for (name, content_type) in [
            ("a/b.css", "text/css; charset=utf-8"),
            ("b.HTML", "text/html; charset=utf-8"),
            ("app.js", "text/javascript; charset=utf-8"),
            ("app.mjs", "text/javascript; charset=utf-8"),
            ("a.json", "application/json"),
            ("a.wasm", "application/wasm"),
            ("a.woff2", "font/woff2"),
            ("a.svg", "image/svg+xml"),
            ("a.webp", "image/webp"),
            ("a.avif", "image/avif"),
            ("a.pdf", "application/pdf"),
            ("a.tar.gz", "application/gzip"),
            ("a.webmanifest", "application/manifest+json"),
            ("README", "application/octet-stream"),
            ("a.d/README", "application/octet-stream"),
            ("a.\u{e9}", "application/octet-stream"),
            ("a.", "application/octet-stream"),
        ] {
            assert_eq!(of(name.as_bytes()), content_type, "{name}");
        }
    }

    #[test]
    fn what_is_compressed_already_has_no_siblings() {
        for yes in [
            "text/css; charset=utf-8",
            "image/svg+xml",
            "application/json",
            "application/octet-stream",
        ] {
            assert!(is_compressible(yes), "{yes}");
        }
        for no in ["image/png", "video/mp4", "font/woff2", "application/zip"] {
            assert!(!is_compressible(no), "{no}");
        }
    }
}
