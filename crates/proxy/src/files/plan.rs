//! What of a file is sent, and with which head.

use std::{fs::File, ops::Range};

use bytes::Bytes;
use config::Files;

use super::{
    condition::{self, Verdict},
    content_type,
    encoding::{self, ENCODINGS, Encoding},
    find::{self, OpenFile},
    range::{self, Ranges},
    validators::Validators,
};
use crate::{
    answer::{Answer, AnswerLength},
    head::Head,
};

/// What to do with a file that was found.
pub(super) enum Plan {
    /// Send this.
    Send {
        file: File,
        answer: Answer,
        pieces: Vec<Piece>,
    },
    /// Send the page of this status, with a field.
    Refuse {
        status: u16,
        field: Option<(&'static str, String)>,
    },
}

/// A piece of the body.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Piece {
    /// Of the file.
    Part { offset: u64, len: u64 },
    /// Between parts.
    Text(Bytes),
}

/// Plans the answer of a GET or HEAD.
pub(super) fn plan(found: OpenFile<'_>, files: &Files, head: &Head) -> Plan {
    let content_type = content_type::of(&found.name);
    let chosen = choose(found, files, head, &content_type);
    let coding = chosen.encoding.map_or("", |encoding| encoding.token);
    let validators = Validators::new(chosen.modified_s, chosen.len, coding);

    let mut answer = Answer::new(200);
    let verdict = condition::evaluate(&head.fields, &validators);
    match verdict {
        Verdict::Go => answer.fields.push("content-type", content_type.as_bytes()),
        Verdict::NotModified => {
            answer.status = 304;
            answer.length = AnswerLength::None;
        }
        Verdict::Failed => {
            return Plan::Refuse {
                status: 412,
                field: None,
            };
        }
    }
    if let Some(date) = validators.last_modified() {
        answer.fields.push("last-modified", date);
    }
    answer.fields.push("etag", &validators.etag);
    if !files.cache_control.is_empty() {
        answer.fields.push("cache-control", &files.cache_control);
    }
    if chosen.varies {
        answer.fields.push("vary", "Accept-Encoding");
    }
    let mut pieces = Vec::new();
    if verdict == Verdict::Go {
        if !coding.is_empty() {
            answer.fields.push("content-encoding", coding);
        }
        // Only GET has ranges (RFC 9110 §14.2).
        let ranges = match head.fields.get("range") {
            Some(value) if head.method == "GET" && condition::range_applies(&head.fields, &validators) => {
                range::parse(value, chosen.len)
            }
            _ => Ranges::Whole,
        };
        match ranges {
            Ranges::Whole => {
                // As with nginx, ranges of a compressed sibling are not offered, though who asks gets them.
                if coding.is_empty() {
                    answer.fields.push("accept-ranges", "bytes");
                }
                whole(&mut answer, &mut pieces, chosen.len);
            }
            Ranges::Unsatisfiable => {
                let field = Some(("content-range", format!("bytes */{}", chosen.len)));
                return Plan::Refuse { status: 416, field };
            }
            Ranges::Parts(parts) => match parts.as_slice() {
                [part] => single(&mut answer, &mut pieces, part, chosen.len),
                parts => multiple(&mut answer, &mut pieces, parts, chosen.len, &content_type),
            },
        }
        if head.method == "HEAD" {
            pieces.clear();
        }
    }
    Plan::Send {
        file: chosen.file,
        answer,
        pieces,
    }
}

/// The representation that is sent.
struct Chosen {
    file: File,
    len: u64,
    modified_s: i64,
    encoding: Option<&'static Encoding>,
    /// Another client might get another one.
    varies: bool,
}

fn choose(found: OpenFile<'_>, files: &Files, head: &Head, content_type: &str) -> Chosen {
    let plain = |file, varies| Chosen {
        file,
        len: found.len,
        modified_s: found.modified_s,
        encoding: None,
        varies,
    };
    let Some((root, mut path)) = found.place else {
        return plain(found.file, false);
    };
    if !files.precompressed || !content_type::is_compressible(content_type) {
        return plain(found.file, false);
    }
    let plain_len = path.len();
    let mut beside = |encoding: &Encoding| {
        path.truncate(plain_len);
        path.extend_from_slice(encoding.suffix.as_bytes());
        find::sibling(&root, &path)
    };
    let accepted = encoding::accepted(head.fields.get("accept-encoding"));
    for encoding in &accepted {
        if let Some((file, len, modified_s)) = beside(encoding) {
            return Chosen {
                file,
                len,
                modified_s,
                encoding: Some(encoding),
                varies: true,
            };
        }
    }
    let varies = ENCODINGS
        .iter()
        .any(|encoding| !accepted.contains(&encoding) && beside(encoding).is_some());
    plain(found.file, varies)
}

fn whole(answer: &mut Answer, pieces: &mut Vec<Piece>, len: u64) {
    answer.length = AnswerLength::Known(len);
    if len > 0 {
        pieces.push(Piece::Part { offset: 0, len });
    }
}

fn single(answer: &mut Answer, pieces: &mut Vec<Piece>, part: &Range<u64>, len: u64) {
    answer.status = 206;
    answer.fields.push("content-range", content_range(part, len));
    answer.length = AnswerLength::Known(part.end - part.start);
    pieces.push(part_of_file(part));
}

/// multipart/byteranges (RFC 9110 §14.6).
fn multiple(
    answer: &mut Answer,
    pieces: &mut Vec<Piece>,
    parts: &[Range<u64>],
    len: u64,
    content_type: &str,
) {
    let boundary = format!("{:020}", fastrand::u64(..));
    let mut total = 0;
    for part in parts {
        let text = format!(
            "\r\n--{boundary}\r\nContent-Type: {content_type}\r\nContent-Range: {}\r\n\r\n",
            content_range(part, len)
        );
        total += text.len() as u64 + (part.end - part.start);
        pieces.push(Piece::Text(text.into()));
        pieces.push(part_of_file(part));
    }
    let end = format!("\r\n--{boundary}--\r\n");
    total += end.len() as u64;
    pieces.push(Piece::Text(end.into()));
    answer.status = 206;
    answer.fields.set(
        "content-type",
        format!("multipart/byteranges; boundary={boundary}"),
    );
    answer.length = AnswerLength::Known(total);
}

fn content_range(part: &Range<u64>, len: u64) -> String {
    format!("bytes {}-{}/{len}", part.start, part.end - 1)
}

fn part_of_file(part: &Range<u64>) -> Piece {
    Piece::Part {
        offset: part.start,
        len: part.end - part.start,
    }
}
