//! A request that could not be taken to its upstream and back.

use http::header;
use logs::Outcome;
use pingora_core::{Error, ErrorSource, ErrorType, Result};
use pingora_http::ResponseHeader;
use pingora_proxy::Session;

use super::{SERVER, exchange::Exchange};
use crate::{downstream::ClientError, errors};

/// Tells the client, the record and the operator; returns the status sent, 0 when there is nobody to send it to.
pub(super) async fn answer(session: &mut Session, error: &Error, exchange: Option<&mut Exchange>) -> u16 {
    let fault = exchange
        .as_ref()
        .and_then(|exchange| exchange.fault.get().copied());
    let (status, mut outcome) = judge(error, fault);
    if session.was_upgraded() {
        // Connections of other protocols end by one side closing them.
        outcome = Outcome::Ok;
    }
    if let Some(exchange) = exchange {
        exchange.set_outcome(outcome);
        let (upstream, server) = (exchange.upstream.name(), exchange.server());
        let request_id = exchange.request().request_id.as_str();
        match outcome {
            Outcome::UpstreamFailed | Outcome::Timeout => {
                tracing::warn!(upstream, server, request_id, status, %error, "upstream failed");
            }
            Outcome::Internal => {
                tracing::error!(upstream, server, request_id, %error, "request can not be passed on")
            }
            _ => tracing::debug!(upstream, server, request_id, status, %error, "client failed"),
        }
    }
    if session.response_written().is_some() {
        // Too late for a page: the answer is cut, and the client can tell.
        return status;
    }
    if status != 0 && send(session, status).await.is_err() {
        return 0;
    }
    status
}

/// Status for the client (0: it is gone) and what is to be thought of it.
fn judge(error: &Error, fault: Option<ClientError>) -> (u16, Outcome) {
    if let Some(fault) = fault {
        return match fault {
            ClientError::Gone => (0, Outcome::ClientGone),
            ClientError::TooSlow => (408, Outcome::ClientTimeout),
            ClientError::BodyTooLarge(_) => (413, Outcome::Refused),
            ClientError::BadBody => (400, Outcome::Refused),
        };
    }
    match (error.esource(), error.etype()) {
        (_, ErrorType::HTTPStatus(status)) => (*status, Outcome::Refused),
        (ErrorSource::Upstream, ErrorType::ReadTimedout | ErrorType::WriteTimedout) => {
            (504, Outcome::Timeout)
        }
        (ErrorSource::Upstream, ErrorType::ConnectTimedout) => (504, Outcome::UpstreamFailed),
        (ErrorSource::Upstream, _) => (502, Outcome::UpstreamFailed),
        (ErrorSource::Downstream, ErrorType::WriteTimedout) => (0, Outcome::ClientTimeout),
        (ErrorSource::Downstream, ErrorType::ReadTimedout) => (408, Outcome::ClientTimeout),
        (
            ErrorSource::Downstream,
            ErrorType::ReadError | ErrorType::WriteError | ErrorType::ConnectionClosed | ErrorType::H2Error,
        ) => (0, Outcome::ClientGone),
        (ErrorSource::Downstream, _) => (400, Outcome::Refused),
        (ErrorSource::Internal | ErrorSource::Unset, _) => (500, Outcome::Internal),
    }
}

async fn send(session: &mut Session, status: u16) -> Result<()> {
    let (content_type, page) = errors::page(status);
    let mut header = ResponseHeader::build(status, Some(4))?;
    header.insert_header(header::SERVER, SERVER)?;
    header.insert_header(header::CONTENT_TYPE, content_type)?;
    header.insert_header(header::CONTENT_LENGTH, page.len())?;
    session.set_keepalive(None);
    let bodiless = session.req_header().method == http::Method::HEAD;
    session.write_response_header(Box::new(header), bodiless).await?;
    if !bodiless {
        session.write_response_body(Some(page), true).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_failed_decides_the_status() {
        let up = |etype| judge(&Error::new_up(etype), None);
        assert_eq!(up(ErrorType::ConnectRefused), (502, Outcome::UpstreamFailed));
        assert_eq!(up(ErrorType::ConnectTimedout), (504, Outcome::UpstreamFailed));
        assert_eq!(up(ErrorType::ReadTimedout), (504, Outcome::Timeout));
        assert_eq!(up(ErrorType::InvalidHTTPHeader), (502, Outcome::UpstreamFailed));
        let down = |etype| judge(&Error::new_down(etype), None);
        assert_eq!(down(ErrorType::ConnectionClosed), (0, Outcome::ClientGone));
        assert_eq!(down(ErrorType::InvalidHTTPHeader), (400, Outcome::Refused));
        assert_eq!(
            judge(&Error::new_in(ErrorType::InternalError), None),
            (500, Outcome::Internal)
        );
    }

    #[test]
    fn what_the_client_did_wrong_outweighs_what_pingora_makes_of_it() {
        let error = Error::new_down(ErrorType::ReadError);
        assert_eq!(judge(&error, Some(ClientError::BadBody)).0, 400);
        assert_eq!(judge(&error, Some(ClientError::TooSlow)).0, 408);
        assert_eq!(judge(&error, Some(ClientError::BodyTooLarge(1))).0, 413);
    }
}
