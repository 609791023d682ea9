//! The health check of a server that speaks HTTP/2.

use std::pin::Pin;

use http::{Method, Request, Uri, Version, header};

use super::{connection::Lease, driver};
use crate::upstream::{failure::Failure, server_socket::ServerSocket};

/// Asks for a path on a connection that is closed again; says with which status it is answered.
pub(in crate::upstream) async fn ask(
    socket: ServerSocket,
    is_tls: bool,
    host: &str,
    path: &str,
) -> Result<u16, Failure> {
    let connection = driver::open(socket, None).await?;
    let Ok(mut lease) = connection.lease() else {
        return Err(Failure::Closed);
    };
    let scheme = if is_tls { "https" } else { "http" };
    let uri = Uri::builder()
        .scheme(scheme)
        .authority(host)
        .path_and_query(path)
        .build()
        .map_err(|_| Failure::Unsayable("the path or the host of `health` is no part of a URI"))?;
    let mut request = Request::new(());
    *request.method_mut() = Method::GET;
    *request.uri_mut() = uri;
    *request.version_mut() = Version::HTTP_2;
    let fields = request.headers_mut();
    fields.insert(
        header::USER_AGENT,
        header::HeaderValue::from_static("appliance-health"),
    );
    fields.insert(header::ACCEPT, header::HeaderValue::from_static("*/*"));
    status(&mut lease, request).await
}

async fn status(lease: &mut Lease, request: Request<()>) -> Result<u16, Failure> {
    let (mut response, _) = lease.send.send_request(request, true)?;
    let response = Pin::new(&mut response).await?;
    Ok(response.status().as_u16())
}
