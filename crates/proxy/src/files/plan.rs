//! What of a file is sent, and with which head.

use std::{borrow::Cow, ops::Range, sync::Arc};

use bytes::Bytes;
use config::Files;
use message::{
    answer::{Answer, AnswerLength},
    head::Head,
};

use super::{
    condition::{self, Verdict},
    content::{Content, Data},
    content_type,
    encoding::{self, ENCODINGS, Encoding},
    find::{self, FoundFile},
    range::{self, Ranges},
    root,
};

/// What to do with a file that was found.
pub(super) enum Plan {
    /// Send this.
    Send {
        data: Data,
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

/// Plans the answer of a GET or HEAD; `headers` are those of the route.
pub(super) fn plan(found: FoundFile<'_>, files: &Files, headers: &[(String, String)], head: &Head) -> Plan {
    let Chosen {
        content_type,
        content,
        encoding,
        varies,
    } = choose(found, files, head);
    let coding = encoding.map_or("", |encoding| encoding.token);
    let as_sent = content.validators.as_sent(headers);
    let validators = as_sent.as_ref().unwrap_or(&content.validators);

    let mut answer = Answer::new(200);
    let verdict = condition::evaluate(&head.fields, validators);
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
    if let Some(date) = &validators.last_modified {
        answer.fields.push("last-modified", date);
    }
    if let Some(etag) = &validators.etag {
        answer.fields.push("etag", etag);
    }
    if !files.cache_control.is_empty() {
        answer.fields.push("cache-control", &files.cache_control);
    }
    if varies {
        answer.fields.push("vary", "Accept-Encoding");
    }
    let mut pieces = Vec::new();
    if verdict == Verdict::Go {
        if !coding.is_empty() {
            answer.fields.push("content-encoding", coding);
        }
        // Only GET has ranges (RFC 9110 §14.2).
        let ranges = match head.fields.get("range") {
            Some(value) if head.method == "GET" && condition::range_applies(&head.fields, validators) => {
                range::parse(value, content.len)
            }
            _ => Ranges::Whole,
        };
        match ranges {
            Ranges::Whole => {
                // As with nginx, ranges of a compressed sibling are not offered, though who asks gets them.
                if coding.is_empty() {
                    answer.fields.push("accept-ranges", "bytes");
                }
                whole(&mut answer, &mut pieces, content.len);
            }
            Ranges::Unsatisfiable => {
                let field = Some(("content-range", format!("bytes */{}", content.len)));
                return Plan::Refuse { status: 416, field };
            }
            Ranges::Parts(parts) => match parts.as_slice() {
                [part] => single(&mut answer, &mut pieces, part, content.len),
                parts => multiple(&mut answer, &mut pieces, parts, content.len, &content_type),
            },
        }
        if head.method == "HEAD" {
            pieces.clear();
        }
    }
    Plan::Send {
        data: content.data.clone(),
        answer,
        pieces,
    }
}

/// The representation that is sent.
struct Chosen {
    /// Of the file that was asked for.
    content_type: Cow<'static, str>,
    /// The file, or a compressed sibling.
    content: Arc<Content>,
    encoding: Option<&'static Encoding>,
    /// Another client might get another one.
    varies: bool,
}

fn choose(found: FoundFile<'_>, files: &Files, head: &Head) -> Chosen {
    let FoundFile { content, place, now } = found;
    let content_type = match content_type::chosen(
        files,
        place.as_ref().map_or(root::bytes(&files.root), |(_, path)| path),
    ) {
        Some(chosen) => Cow::Owned(chosen),
        None => content.content_type.clone(),
    };
    let compressible = content_type::is_compressible(&content_type);
    let mut chosen = Chosen {
        content_type,
        content,
        encoding: None,
        varies: false,
    };
    let Some((mut root, mut path)) = place else {
        return chosen;
    };
    if !files.precompressed || !compressible {
        return chosen;
    }
    let plain_len = path.len();
    let mut beside = |encoding: &Encoding| {
        path.truncate(plain_len);
        path.extend_from_slice(encoding.suffix.as_bytes());
        find::sibling(&mut root, &path, encoding, now)
    };
    let accepted = encoding::accepted(head.fields.all("accept-encoding"));
    for encoding in &accepted {
        if let Some(sibling) = beside(encoding) {
            chosen.content = sibling;
            chosen.encoding = Some(encoding);
            chosen.varies = true;
            return chosen;
        }
    }
    chosen.varies = ENCODINGS
        .iter()
        .any(|encoding| !accepted.contains(&encoding) && beside(encoding).is_some());
    chosen
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
