//! Content types by file name: the table of `new_mime_guess`, which follows IANA and what browsers take, and
//! what it says otherwise than IANA or nginx.

use std::borrow::Cow;

use config::{Charset, Files};

/// The type of a file with this name, where the route says nothing of it.
pub(super) fn of(name: &[u8]) -> Cow<'static, str> {
    let plain = plain(extension(name).unwrap_or_default());
    match usual_charset(plain) {
        Some(charset) => Cow::Owned(format!("{plain}; charset={charset}")),
        None => Cow::Borrowed(plain),
    }
}

/// The type of a file with this name, where the route has keys for it.
pub(super) fn chosen(files: &Files, name: &[u8]) -> Option<String> {
    if files.types.is_empty() && files.charset == Charset::Usual {
        return None;
    }
    let extension = extension(name).unwrap_or_default();
    let set = files
        .types
        .iter()
        .find(|(ending, _)| ending.eq_ignore_ascii_case(extension));
    let plain = set.map_or_else(|| plain(extension), |(_, set)| set);
    let charset = match &files.charset {
        // Whoever writes a parameter has said all.
        _ if plain.contains(';') => None,
        Charset::Usual => usual_charset(plain),
        Charset::None => None,
        Charset::Named(charset) => plain.starts_with("text/").then_some(charset.as_str()),
    };
    Some(match charset {
        Some(charset) => format!("{plain}; charset={charset}"),
        None => plain.to_owned(),
    })
}

/// Texts are UTF-8, but for those that say themselves what they are: XML in its first line, HTML in a `meta`.
/// What we said would win, and old pages would break.
fn usual_charset(plain: &str) -> Option<&'static str> {
    let declares_itself = plain == "text/html" || plain == "text/xml" || plain.ends_with("+xml");
    (plain.starts_with("text/") && !declares_itself).then_some("utf-8")
}

fn extension(name: &[u8]) -> Option<&str> {
    let file = name.rsplit(|&byte| byte == b'/').next()?;
    std::str::from_utf8(&file[memchr::memrchr(b'.', file)? + 1..]).ok()
}

fn plain(extension: &str) -> &'static str {
    OURS.iter()
        .find(|(ending, _)| ending.eq_ignore_ascii_case(extension))
        .map(|(_, plain)| *plain)
        .or_else(|| new_mime_guess::from_ext(extension).first_raw())
        .unwrap_or("application/octet-stream")
}

/// Registered names where the table has older ones or puts another first, and those that nginx and browsers
/// agree upon.
const OURS: [(&str, &str); 17] = [
    ("mjs", "text/javascript"),
    ("cjs", "text/javascript"),
    ("m3u8", "application/vnd.apple.mpegurl"),
    ("m2ts", "video/mp2t"),
    ("mts", "video/mp2t"),
    ("vcf", "text/vcard"),
    ("md", "text/markdown"),
    ("yaml", "application/yaml"),
    ("yml", "application/yaml"),
    ("rtf", "application/rtf"),
    ("xml", "text/xml"),
    ("ico", "image/x-icon"),
    ("tgz", "application/gzip"),
    ("py", "text/x-python"),
    ("rs", "text/x-rust"),
    ("mkv", "video/matroska"),
    ("mka", "audio/matroska"),
];

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
            ("b.HTML", "text/html"),
            ("a.txt", "text/plain; charset=utf-8"),
            ("a.csv", "text/csv; charset=utf-8"),
            ("app.js", "text/javascript; charset=utf-8"),
            ("app.mjs", "text/javascript; charset=utf-8"),
            ("app.js.map", "application/json"),
            ("a.json", "application/json"),
            ("a.wasm", "application/wasm"),
            ("a.ts", "video/mp2t"),
            ("a.m3u8", "application/vnd.apple.mpegurl"),
            ("a.mp4", "video/mp4"),
            ("a.m4a", "audio/mp4"),
            ("a.woff", "font/woff"),
            ("a.woff2", "font/woff2"),
            ("a.otf", "font/otf"),
            ("a.ttf", "font/ttf"),
            ("a.eot", "application/vnd.ms-fontobject"),
            ("a.xml", "text/xml"),
            ("a.xsl", "application/xslt+xml"),
            ("a.rss", "application/rss+xml"),
            ("a.xhtml", "application/xhtml+xml"),
            ("a.svg", "image/svg+xml"),
            ("a.ico", "image/x-icon"),
            ("a.webp", "image/webp"),
            ("a.avif", "image/avif"),
            ("a.pdf", "application/pdf"),
            ("a.rtf", "application/rtf"),
            ("a.vcf", "text/vcard; charset=utf-8"),
            ("a.md", "text/markdown; charset=utf-8"),
            ("a.yaml", "application/yaml"),
            ("a.zst", "application/zstd"),
            ("a.7z", "application/x-7z-compressed"),
            (
                "a.docx",
                "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
            ),
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
    fn a_route_has_types_and_a_charset_of_its_own() {
        let mut files = Files {
            root: "/srv".into(),
            strip: String::new(),
            index: Vec::new(),
            precompressed: true,
            cache_control: String::new(),
            symlinks: config::Symlinks::Follow,
            types: Vec::new(),
            charset: Charset::Usual,
        };
        assert_eq!(chosen(&files, b"a.html"), None);
        files.types = vec![
            ("dat".into(), "application/x-ours".into()),
            ("html".into(), "text/x-template".into()),
            ("old".into(), "text/html; charset=koi8-r".into()),
        ];
        let of = |files: &Files, name: &str| chosen(files, name.as_bytes()).expect("keys are set");
        for (name, content_type) in [
            ("a.DAT", "application/x-ours"),
            ("a.html", "text/x-template; charset=utf-8"),
            ("a.old", "text/html; charset=koi8-r"),
            ("a.xml", "text/xml"),
            ("a.txt", "text/plain; charset=utf-8"),
        ] {
            assert_eq!(of(&files, name), content_type, "{name}");
        }
        files.charset = Charset::Named("iso-8859-1".into());
        for (name, content_type) in [
            ("a.txt", "text/plain; charset=iso-8859-1"),
            ("a.htm", "text/html; charset=iso-8859-1"),
            ("a.old", "text/html; charset=koi8-r"),
            ("a.png", "image/png"),
        ] {
            assert_eq!(of(&files, name), content_type, "{name}");
        }
        files.charset = Charset::None;
        assert_eq!(of(&files, "a.txt"), "text/plain");
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
