//! The end of a request that fails: a page for the client, facts for the record.

use bytes::Bytes;
use logs::{Outcome, Record};
use message::{
    answer::{Answer, AnswerLength},
    client_error::ClientError,
    downstream::Downstream,
    error_page,
};

use crate::context::Context;

/// Answers with the page of `status` and `fields`, if nothing was sent yet, and notes in the record how it ended. What
/// was begun is left without its end, so that the client sees it cut.
pub(crate) async fn refuse<D: Downstream>(
    context: &Context,
    down: &mut D,
    record: &mut Record,
    status: u16,
    outcome: Outcome,
    fields: &[(&str, &str)],
) {
    record.outcome = Some(outcome);
    if down.answered() {
        return;
    }
    record.status = Some(status);
    let id = record.request_id().and_then(|id| std::str::from_utf8(id).ok());
    let (content_type, body) = error_page::preferred(status, down.head().fields.all("accept"), id);
    let mut answer = Answer::new(status);
    answer.is_page = true;
    answer.length = AnswerLength::Known(body.len() as u64);
    answer.fields.push("content-type", content_type);
    context.router.name_server(&mut answer);
    for (name, value) in fields {
        answer.fields.push(name, value);
    }
    // Whether the client takes its page changes nothing about how the request ended.
    let _ = send(down, &answer, body).await;
}

async fn send<D: Downstream>(down: &mut D, answer: &Answer, body: Bytes) -> Result<(), ClientError> {
    down.send_head(answer).await?;
    down.send_body(body).await?;
    down.end().await
}

/// Ends a request whose client failed: with a page where it is still waiting for one.
pub(crate) async fn client_failed<D: Downstream>(
    context: &Context,
    down: &mut D,
    record: &mut Record,
    error: ClientError,
) {
    let (status, outcome) = match error {
        // Nothing can be sent to it: its line says 499 unless an answer had begun.
        ClientError::Gone => {
            record.outcome.get_or_insert(Outcome::ClientGone);
            return;
        }
        ClientError::TooSlow => (408, Outcome::ClientTimeout),
        ClientError::BodyTooLarge(_) => (413, Outcome::Refused),
        ClientError::BadBody => (400, Outcome::Refused),
    };
    refuse(context, down, record, status, outcome, &[]).await;
}
