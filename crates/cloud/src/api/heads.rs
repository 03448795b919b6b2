//! Heads of requests that the HTTP library refuses before anybody sees them: their clients are told why all the same.
//!
//! It stands between a TLS stream and hyper. hyper answers such a head with a status, no body and the end of the
//! connection; clients of AWS look for an exception's name. This puts one into that answer, and an attempt record tells what
//! was wrong. It must never touch another answer.

use core::pin::Pin;
use core::task::{Context, Poll, ready};
use core::time::Duration;
use std::io;

use fleet::attempt::{Kind, Verdict};
use fleet::record::Uuid;
use http::StatusCode;
use serde_json::json;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::render;
use super::server::Conversation;
use crate::tls::Stream;

/// How an answer of ours is told from one of hyper's.
const REQUEST_ID: &str = "x-amzn-requestid";
/// What hyper answers a head with that it does not take.
const STATUSES: [StatusCode; 3] = [
    StatusCode::BAD_REQUEST,
    StatusCode::URI_TOO_LONG,
    StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
];

/// A stream whose client is told what is wrong with a head.
pub(super) struct Outspoken<S> {
    stream: S,
    request_id: String,
    /// What is left to write of such an answer.
    rest: Vec<u8>,
}

impl<S> Outspoken<S> {
    /// Around a stream; the id is that of the attempt record.
    pub(super) fn new(stream: S, request_id: String) -> Self {
        Self {
            stream,
            request_id,
            rest: Vec::new(),
        }
    }

    /// The stream underneath.
    pub(super) fn into_inner(self) -> S {
        self.stream
    }
}

impl<S: AsyncWrite + Unpin> Outspoken<S> {
    fn poll_rest(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.rest.is_empty() {
            let written = ready!(Pin::new(&mut self.stream).poll_write(context, &self.rest))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.rest.drain(..written.min(self.rest.len()));
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Outspoken<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Outspoken<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        ready!(self.poll_rest(context))?;
        match outspoken(bytes, &self.request_id) {
            None => Pin::new(&mut self.stream).poll_write(context, bytes),
            Some(answer) => {
                self.rest = answer;
                Poll::Ready(Ok(bytes.len()))
            }
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_rest(context))?;
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_rest(context))?;
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

/// hyper's answer to a head that it refuses, with the name of an exception; `None` for every other answer. A body never
/// looks like one: those of this server are JSON, in which there are no bare line ends.
fn outspoken(answer: &[u8], request_id: &str) -> Option<Vec<u8>> {
    let status = answer.strip_prefix(b"HTTP/1.1 ")?.get(..3)?;
    let status = STATUSES
        .into_iter()
        .find(|one| one.as_str().as_bytes() == status)?;
    let head = core::str::from_utf8(answer).ok()?.strip_suffix("\r\n\r\n")?;
    if head.contains(REQUEST_ID) || head.contains("\r\n\r\n") {
        return None;
    }
    let (exception, message) = said(status);
    let body = json!({ "message": message }).to_string();
    let kept = head
        .split("\r\n")
        .filter(|line| !line.starts_with("content-length:"));
    let mut lines: Vec<String> = kept.map(str::to_owned).collect();
    lines.push("content-type: application/json".to_owned());
    lines.push(format!("x-amzn-errortype: {exception}"));
    lines.push(format!("{REQUEST_ID}: {request_id}"));
    lines.push(format!("content-length: {}", body.len()));
    Some(format!("{}\r\n\r\n{body}", lines.join("\r\n")).into_bytes())
}

/// The exception and its message.
fn said(status: StatusCode) -> (&'static str, &'static str) {
    match status {
        StatusCode::URI_TOO_LONG => (
            render::TOO_LARGE,
            "the address of the request is longer than any operation's",
        ),
        StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE => (
            render::TOO_LARGE,
            "the request has more headers, or longer ones, than any operation reads",
        ),
        _ => (
            render::INVALID,
            "the request is not HTTP/1.1: its first line or one of its headers holds a character that may not stand there",
        ),
    }
}

/// The stream of a conversation, with the id under which a refused head is recorded.
pub(super) fn around(stream: Stream, conversation: &Conversation) -> Outspoken<Stream> {
    let trace = conversation.record.attempt.trace;
    Outspoken::new(stream, Uuid(trace.0).to_string())
}

/// Leaves an attempt record when a connection ended because of a head that was refused.
pub(super) fn note(conversation: &Conversation, ended: &hyper::Error) {
    if !ended.is_parse() {
        return;
    }
    let control = &conversation.control;
    let mut record = conversation.record.again(control);
    record.attempt.trace = conversation.record.attempt.trace;
    record.attempt.kind = Kind::Api;
    let status = match ended.is_parse_too_large() {
        true => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
        false => StatusCode::BAD_REQUEST,
    };
    control.tally.request(None, status.as_u16(), Duration::ZERO);
    let reason = format!("the head of a request is not taken: {ended}");
    let hint = "check what the client writes into its address and headers (RFC 9112, 3 and 5)";
    record.end(control, Verdict::Refused, "cloud.api.head", &reason, hint);
}

#[cfg(test)]
mod tests {
    use super::*;

    const REFUSED: &str =
        "HTTP/1.1 400 Bad Request\r\nconnection: close\r\ncontent-length: 0\r\ndate: today\r\n\r\n";

    #[test]
    fn a_refused_head_is_answered_with_an_exception() {
        let cases = [
            (REFUSED.to_owned(), "400 Bad Request", "InvalidRequestException"),
            (
                REFUSED.replace("400 Bad Request", "414 URI Too Long"),
                "414 URI Too Long",
                "RequestEntityTooLargeException",
            ),
            (
                REFUSED.replace("400 Bad Request", "431 Request Header Fields Too Large"),
                "431 Request Header Fields Too Large",
                "RequestEntityTooLargeException",
            ),
        ];
        for (refused, status, exception) in cases {
            let answer = String::from_utf8(outspoken(refused.as_bytes(), "id-1").unwrap()).unwrap();
            let (head, body) = answer.split_once("\r\n\r\n").unwrap();
            assert!(
                head.starts_with(&format!("HTTP/1.1 {status}\r\nconnection: close\r\n")),
                "{head}"
            );
            assert!(
                head.contains(&format!("x-amzn-errortype: {exception}\r\n")),
                "{head}"
            );
            assert!(
                head.contains("x-amzn-requestid: id-1\r\n") && head.contains("date: today\r\n"),
                "{head}"
            );
            assert!(
                head.ends_with(&format!("content-length: {}", body.len())),
                "{head}"
            );
            assert!(!head.contains("content-length: 0"), "{head}");
            let body: serde_json::Value = serde_json::from_str(body).unwrap();
            assert!(!body["message"].as_str().unwrap().is_empty());
        }
    }

    #[test]
    fn other_answers_stay_as_they_are() {
        for answer in [
            "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n".to_owned(),
            "HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n".to_owned(),
            REFUSED.replace("date: today", "x-amzn-requestid: 1"),
            format!("{REFUSED}{{}}"),
            REFUSED.replace("HTTP", "\u{82}HTTP"),
            String::new(),
        ] {
            assert_eq!(outspoken(answer.as_bytes(), "id-1"), None, "{answer}");
        }
    }

    #[tokio::test]
    async fn such_an_answer_is_written_whole_however_little_is_taken_at_once() {
        use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
        let (near, mut far) = tokio::io::duplex(7);
        let mut stream = Outspoken::new(near, "id-1".to_owned());
        let write = async {
            stream.write_all(REFUSED.as_bytes()).await.unwrap();
            stream.shutdown().await.unwrap();
        };
        let mut said = Vec::new();
        let (_, read) = tokio::join!(write, far.read_to_end(&mut said));
        read.unwrap();
        assert_eq!(said, outspoken(REFUSED.as_bytes(), "id-1").unwrap());
    }
}
