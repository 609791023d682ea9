//! The head of a server's answer over HTTP/2, made into the head of ours.

use http::{HeaderMap, header::CONTENT_LENGTH, response::Parts};
use message::{
    answer::{Answer, AnswerLength},
    fields::Fields,
};

use crate::upstream::{
    answer_body::AnswerBody,
    answer_head::{BadAnswer, FIELDS_MAX, FinalHead, number, passes_to_client},
};

/// An answer and the fields of it that go on to the client.
fn answer(status: u16, fields: &HeaderMap) -> Result<Answer, BadAnswer> {
    if fields.len() > FIELDS_MAX {
        return Err(BadAnswer::TooManyFields);
    }
    let mut answer = Answer::new(status);
    answer.fields = Fields::with_capacity(fields.len(), fields.len() * 32);
    for (name, value) in fields {
        // h2 has refused what concerns a connection.
        if name != CONTENT_LENGTH && passes_to_client(name.as_str().as_bytes()) {
            answer.fields.push(name.as_str(), value.as_bytes().trim_ascii());
        }
    }
    Ok(answer)
}

/// An interim answer.
pub(super) fn interim(parts: &Parts) -> Result<Answer, BadAnswer> {
    let mut answer = answer(parts.status.as_u16(), &parts.headers)?;
    answer.length = AnswerLength::None;
    Ok(answer)
}

/// The answer. Its end is that of the stream; h2 sees to it that it is as long as it says.
pub(super) fn last(parts: &Parts, head_only: bool, ended: bool) -> Result<FinalHead, BadAnswer> {
    let status = parts.status.as_u16();
    let mut answer = answer(status, &parts.headers)?;
    let mut lengths = parts.headers.get_all(CONTENT_LENGTH).iter();
    let length = match (lengths.next(), lengths.next()) {
        (None, _) => None,
        (Some(length), None) => Some(number(length.as_bytes()).ok_or(BadAnswer::Length)?),
        (Some(_), Some(_)) => return Err(BadAnswer::Length),
    };
    let bodiless = head_only || matches!(status, 204 | 304);
    answer.length = match length {
        // It may have none (RFC 9110 §8.6).
        _ if status == 204 => AnswerLength::None,
        Some(length) => AnswerLength::Known(length),
        None if bodiless => AnswerLength::None,
        None if ended => AnswerLength::Known(0),
        None => AnswerLength::Unknown,
    };
    let body = match ended {
        true => AnswerBody::NONE,
        false => AnswerBody::UntilClose,
    };
    Ok(FinalHead {
        answer,
        body,
        keep: None,
    })
}
