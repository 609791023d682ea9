//! pingora at work: HTTP/2 connections, and the way to upstreams.

use std::sync::Arc;

use async_trait::async_trait;
use pingora_core::{Error, ErrorType, Result, upstreams::peer::HttpPeer};
use pingora_proxy::{ProxyHttp, Session};

use crate::context::Context;

/// One thin method per phase of pingora.
pub(crate) struct Phases {
    context: Arc<Context>,
}

impl Phases {
    /// Phases of one front thread.
    pub(crate) fn new(context: Arc<Context>) -> Self {
        Self { context }
    }
}

#[async_trait]
impl ProxyHttp for Phases {
    type CTX = ();

    fn new_ctx(&self) -> Self::CTX {}

    async fn upstream_peer(&self, _: &mut Session, _: &mut Self::CTX) -> Result<Box<HttpPeer>> {
        let _ = &self.context;
        Err(Error::new(ErrorType::InternalError))
    }
}
