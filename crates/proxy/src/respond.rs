//! A fixed answer.

use bytes::Bytes;
use config::Respond;
use message::{
    answer::{Answer, AnswerLength},
    client_error::ClientError,
    downstream::Downstream,
};

/// Sends what the route says, whatever the method.
pub(crate) async fn answer<D: Downstream>(down: &mut D, respond: &Respond) -> Result<(), ClientError> {
    let mut answer = Answer::new(respond.status);
    let body = match respond.status {
        204 | 304 => {
            answer.length = AnswerLength::None;
            Bytes::new()
        }
        _ => {
            answer.length = AnswerLength::Known(respond.body.len() as u64);
            Bytes::copy_from_slice(respond.body.as_bytes())
        }
    };
    if !body.is_empty() && !respond.content_type.is_empty() {
        answer.fields.push("content-type", &respond.content_type);
    }
    down.send_head(&answer).await?;
    if !body.is_empty() {
        down.send_body(body).await?;
    }
    down.end().await
}
