//! One call of a webhook: resolve, check, connect to what was checked, ask, and read a short answer.
//!
//! It must never follow a redirect, use a proxy, or connect to an address other than one that was checked.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use http::header::{CONNECTION, CONTENT_TYPE, HOST, USER_AGENT};
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, lookup_host};
use tokio::task::JoinSet;
use tokio_rustls::TlsConnector;

use super::address::may_call;
use super::{Fault, Webhook};
use crate::limits::{WEBHOOK_ANSWER_BYTES_MAX, WEBHOOK_HEAD_BYTES_MAX};

/// A call from beginning to end. It takes as long as it takes: the caller sets the limit.
pub(super) async fn call(webhook: &Webhook, body: Vec<u8>, now_seconds: i64) -> Result<Bytes, Fault> {
    let request = compose(webhook, body, now_seconds)?;
    let socket = connect(webhook).await?;
    match &webhook.tls {
        None => ask(socket, request).await,
        Some(tls) => {
            let name = ServerName::try_from(webhook.target.host.clone());
            let name = name.map_err(|error| Fault::Tls(error.to_string()))?;
            let connector = TlsConnector::from(Arc::clone(tls));
            let stream = connector.connect(name, socket).await;
            ask(stream.map_err(|error| Fault::Tls(error.to_string()))?, request).await
        }
    }
}

/// Connects to the first address that may be called and answers.
async fn connect(webhook: &Webhook) -> Result<TcpStream, Fault> {
    let target = &webhook.target;
    let found: Vec<SocketAddr> = lookup_host((target.host.as_str(), target.port))
        .await
        .map_err(|error| Fault::Resolve(error.to_string()))?
        .collect();
    let fits = |address: IpAddr| {
        may_call(address, &webhook.allowed) && (target.is_encrypted || address.is_loopback())
    };
    let mut last = None;
    for address in found.iter().filter(|address| fits(address.ip())) {
        match TcpStream::connect(address).await {
            Ok(socket) => {
                let _ = socket.set_nodelay(true);
                return Ok(socket);
            }
            Err(error) => last = Some(Fault::Connect(error.to_string())),
        }
    }
    Err(last.unwrap_or_else(|| match found.first() {
        None => Fault::Resolve("it has no address".to_owned()),
        Some(address) => Fault::Address(address.ip().to_string()),
    }))
}

fn compose(webhook: &Webhook, body: Vec<u8>, now_seconds: i64) -> Result<Request<Full<Bytes>>, Fault> {
    let mut request = Request::post(webhook.target.path.as_str())
        .header(HOST, webhook.target.authority())
        .header(USER_AGENT, concat!("birthmark/", env!("CARGO_PKG_VERSION")))
        .header(CONNECTION, "close")
        .header(CONTENT_TYPE, "application/json")
        .header("x-birthmark-webhook", webhook.name.as_str());
    if let Some(signature) = webhook.signature(&body, now_seconds) {
        request = request.header("x-birthmark-signature", signature);
    }
    for (name, value) in &webhook.headers {
        request = request.header(name, value);
    }
    request
        .body(Full::new(Bytes::from(body)))
        .map_err(|error| Fault::Http(error.to_string()))
}

async fn ask<S>(stream: S, request: Request<Full<Bytes>>) -> Result<Bytes, Fault>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let failed = |error: hyper::Error| Fault::Http(error.to_string());
    let mut builder = http1::Builder::new();
    builder.max_buf_size(WEBHOOK_HEAD_BYTES_MAX).max_headers(64);
    let (mut sender, connection) = builder.handshake(TokioIo::new(stream)).await.map_err(failed)?;
    // Ends with this function, however that ends.
    let mut driver = JoinSet::new();
    driver.spawn(connection);
    let response = sender.send_request(request).await.map_err(failed)?;
    read(response).await
}

async fn read(response: Response<Incoming>) -> Result<Bytes, Fault> {
    match response.status().as_u16() {
        200 => {}
        status @ 300..=399 => return Err(Fault::Redirect(status)),
        status => return Err(Fault::Status(status)),
    }
    let body = Limited::new(response.into_body(), WEBHOOK_ANSWER_BYTES_MAX)
        .collect()
        .await;
    match body {
        Ok(body) => Ok(body.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => Err(Fault::TooLong),
        Err(error) => Err(Fault::Http(error.to_string())),
    }
}
