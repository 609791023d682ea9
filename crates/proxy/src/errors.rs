//! The end of a request that fails: a page for the client, facts for the record.

use bytes::Bytes;
use logs::{Outcome, Record};
use message::{
    answer::{Answer, AnswerLength},
    client_error::ClientError,
    downstream::Downstream,
    error_page,
    refused::{Refused, Unanswered},
};

use crate::router::Router;

/// Ends a request that was not answered: with a page where its client is there and waits for one.
pub(crate) async fn end<D: Downstream>(
    router: &Router,
    down: &mut D,
    record: &mut Record,
    unanswered: Unanswered,
) {
    let refused = match unanswered {
        Unanswered::Refused(refused) => refused,
        Unanswered::Client(error) => match error {
            // Nothing can be sent to it: its line says 499 unless an answer had begun.
            ClientError::Gone => {
                record.outcome.get_or_insert(Outcome::ClientGone);
                return;
            }
            ClientError::TooSlow => Refused::new(408, Outcome::ClientTimeout),
            ClientError::BodyTooLarge(_) => Refused::new(413, Outcome::Refused),
            ClientError::BadBody => Refused::new(400, Outcome::Refused),
        },
    };
    refuse(router, down, record, &refused).await;
}

/// Answers with the page of a refusal, if nothing was sent yet, and notes in the record how it ended. What
/// was begun is left without its end, so that the client sees it cut.
pub(crate) async fn refuse<D: Downstream>(
    router: &Router,
    down: &mut D,
    record: &mut Record,
    refused: &Refused,
) {
    record.outcome = Some(refused.outcome);
    if down.answered() {
        return;
    }
    record.status = Some(refused.status);
    let id = record.request_id().and_then(|id| std::str::from_utf8(id).ok());
    let (content_type, body) = error_page::preferred(refused.status, down.head().fields.all("accept"), id);
    let mut answer = Answer::new(refused.status);
    answer.is_page = true;
    answer.length = AnswerLength::Known(body.len() as u64);
    answer.fields.push("content-type", content_type);
    router.name_server(&mut answer);
    for (name, value) in &refused.fields {
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
