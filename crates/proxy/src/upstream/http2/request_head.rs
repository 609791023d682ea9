//! The head of a request as a server gets it over HTTP/2.

use std::borrow::Cow;

use http::{
    HeaderMap, HeaderName, HeaderValue, Method, Request, Uri, Version,
    header::{CONTENT_LENGTH, COOKIE, EXPECT, HOST},
    uri::{Authority, PathAndQuery, Scheme},
};
use message::{
    forwarding_fields::request_fields,
    head::{BodyLength, Head},
    request_line::RequestLine,
};

use crate::upstream::{failure::Failure, question::Question};

/// The head: the fields that go on are those of HTTP/1.1, in lower case, and nothing that concerns a
/// connection.
pub(super) fn request(
    head: &Head,
    question: &Question<'_>,
    expect: bool,
    is_tls: bool,
) -> Result<Request<()>, Failure> {
    let mut fields = HeaderMap::with_capacity(head.fields.len() + 8);
    write_fields(&mut fields, head, question)?;
    if expect {
        push(&mut fields, EXPECT, b"100-continue")?;
    }
    let host = match head.host.is_empty() {
        true => question.host.as_bytes(),
        false => &head.host,
    };
    let mut uri = http::uri::Parts::default();
    match Authority::try_from(host) {
        Ok(authority) => {
            let scheme = if is_tls { Scheme::HTTPS } else { Scheme::HTTP };
            uri.scheme = Some(scheme);
            uri.authority = Some(authority);
        }
        Err(_) => push(&mut fields, HOST, host)?,
    }
    let uri_of = |mut uri: http::uri::Parts| {
        uri.path_and_query = Some(target(head, question)?);
        Uri::from_parts(uri).map_err(|_| Failure::Unsayable("its target is no URI"))
    };
    // Without an authority h2 takes the head of a request of an older version only.
    let version = match uri.authority {
        Some(_) => Version::HTTP_2,
        None => Version::HTTP_11,
    };
    let mut request = Request::new(());
    *request.method_mut() = Method::from_bytes(head.method.as_bytes())
        .map_err(|_| Failure::Unsayable("its method is no token"))?;
    *request.uri_mut() = uri_of(uri)?;
    *request.version_mut() = version;
    *request.headers_mut() = fields;
    Ok(request)
}

/// Path and query, as the client sent them where a URI may have them so.
fn target(head: &Head, question: &Question<'_>) -> Result<PathAndQuery, Failure> {
    let target = match question.strip.is_empty() {
        true => Cow::Borrowed(RequestLine::origin_form(&head.target)),
        false => Cow::Owned(question.request.target_below(question.strip, &head.target)),
    };
    let target = match target.first() {
        None | Some(b'?') => Cow::Owned([b"/", &target[..]].concat()),
        Some(_) => target,
    };
    let refused = |_| Failure::Unsayable("its target is no URI");
    match PathAndQuery::try_from(&target[..]) {
        Ok(parsed) if parsed.as_str().len() == target.len() => Ok(parsed),
        _ => PathAndQuery::try_from(encode(&target).as_bytes()).map_err(refused),
    }
}

/// What HTTP/1.1 lets through though no URI may have it is sent in its encoded form.
fn encode(target: &[u8]) -> String {
    let mut encoded = String::with_capacity(target.len() + 16);
    for &byte in target {
        let is_of_uri = byte.is_ascii_alphanumeric() || b"-._~:/?[]@!$&'()*+,;=%".contains(&byte);
        if is_of_uri {
            encoded.push(char::from(byte));
        } else {
            encoded.push('%');
            for digit in [byte >> 4, byte & 15] {
                encoded.push(char::from(b"0123456789ABCDEF"[usize::from(digit)]));
            }
        }
    }
    encoded
}

/// The client's fields that go on, and what we tell ourselves.
fn write_fields(fields: &mut HeaderMap, head: &Head, question: &Question<'_>) -> Result<(), Failure> {
    let options = head.fields.all("connection").collect::<Vec<_>>().join(&b","[..]);
    let mut cookies: Vec<u8> = Vec::new();
    for (name, value) in head.fields.iter() {
        if name.eq_ignore_ascii_case(b"host")
            || name.eq_ignore_ascii_case(b"content-length")
            || !question.request.passing.lets(name, &options)
        {
            continue;
        }
        if name.eq_ignore_ascii_case(b"cookie") {
            if !cookies.is_empty() {
                cookies.extend_from_slice(b"; ");
            }
            cookies.extend_from_slice(value);
            continue;
        }
        push(fields, name_of(name)?, value)?;
    }
    if !cookies.is_empty() {
        push(fields, COOKIE, &cookies)?;
    }
    for (name, value) in request_fields(question.request).iter() {
        push(fields, name_of(name)?, value)?;
    }
    match head.body {
        BodyLength::Known(length) if length > 0 || head.fields.get("content-length").is_some() => push(
            fields,
            CONTENT_LENGTH,
            itoa::Buffer::new().format(length).as_bytes(),
        ),
        BodyLength::Known(_) | BodyLength::Unknown => Ok(()),
    }
}

fn name_of(name: &[u8]) -> Result<HeaderName, Failure> {
    HeaderName::from_bytes(name).map_err(|_| Failure::Unsayable("the name of a field is no token"))
}

fn push(fields: &mut HeaderMap, name: HeaderName, value: &[u8]) -> Result<(), Failure> {
    let value = HeaderValue::from_bytes(value.trim_ascii())
        .map_err(|_| Failure::Unsayable("a field has control characters in it"))?;
    fields
        .try_append(name, value)
        .map_err(|_| Failure::Unsayable("it has too many fields"))?;
    Ok(())
}
