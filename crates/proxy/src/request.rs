//! A request as understood: who really asks, for which host, which path.

use std::net::IpAddr;

/// What [`serve`](crate::serve) makes of a head and its connection; everything that answers uses this.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Request {
    /// The real client: the peer, or what trusted proxies say. `None` for a Unix socket peer without such a field.
    pub(crate) client: Option<IpAddr>,
    /// Its port, 0 when unknown (a proxy's field rarely has it).
    pub(crate) client_port: u16,
    /// The trusted proxies between the client and us, the peer last; empty when the client is the peer.
    pub(crate) hops: Vec<IpAddr>,
    /// The client came by HTTPS, to us or to a trusted proxy before us.
    pub(crate) https: bool,
    /// Host the client asked for: lower case, without port, IPv6 in brackets; "" when HTTP/1.0 had none.
    pub(crate) host: String,
    /// Port the client asked for: a trusted proxy's X-Forwarded-Port, that of the Host field, the scheme's own when the
    /// Host field has none, the listener's when there is no Host field at all.
    pub(crate) port: u16,
    /// Host as sent by the client (or by X-Forwarded-Host of a trusted proxy), with its port.
    pub(crate) authority: String,
    /// Path: percent-decoded, dot segments and doubled slashes resolved, always starting with `/`. Raw bytes.
    pub(crate) path: Vec<u8>,
    /// Query string as sent, without `?`.
    pub(crate) query: Vec<u8>,
    /// Id in the logs: a trusted proxy's X-Request-ID when it is sane, else 32 hex digits of our own.
    pub(crate) request_id: String,
}
