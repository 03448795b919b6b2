//! A receiver of our own that answers as it is told, over TLS and without, and everything that must not be called.

use std::io::Write as _;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::mpsc;

use rustls::ServerConfig;
use serde_json::json;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use super::*;

/// What the receiver got, and where it listens.
struct Receiver {
    address: SocketAddr,
    seen: mpsc::Receiver<String>,
}

/// Answers one call with these bytes; encrypted with this key pair.
async fn receive(pair: Option<&rcgen::CertifiedKey<rcgen::KeyPair>>, answer: Vec<u8>) -> Receiver {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let acceptor = pair.map(|pair| {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let key = rustls::pki_types::PrivateKeyDer::try_from(pair.signing_key.serialize_der()).unwrap();
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![pair.cert.der().clone()], key)
            .unwrap();
        TlsAcceptor::from(Arc::new(config))
    });
    let (sender, seen) = mpsc::channel();
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            let text = match &acceptor {
                None => converse(socket, &answer).await,
                Some(acceptor) => match acceptor.accept(socket).await {
                    Ok(stream) => converse(stream, &answer).await,
                    Err(_) => continue,
                },
            };
            let _ = sender.send(text);
        }
    });
    Receiver { address, seen }
}

async fn converse(mut stream: impl AsyncRead + AsyncWrite + Unpin, answer: &[u8]) -> String {
    let mut received = Vec::new();
    let mut piece = [0; 4096];
    loop {
        let text = String::from_utf8_lossy(&received).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head
                .lines()
                .find_map(|line| line.strip_prefix("content-length: "));
            if length.is_some_and(|length| body.len() == length.parse::<usize>().unwrap()) {
                let _ = stream.write_all(answer).await;
                let _ = stream.shutdown().await;
                return text;
            }
        }
        match stream.read(&mut piece).await {
            Ok(count) if count > 0 => received.extend_from_slice(&piece[..count]),
            _ => return text,
        }
    }
}

fn answer(status: &str, headers: &str, body: &[u8]) -> Vec<u8> {
    let length = body.len();
    let mut bytes = format!("HTTP/1.1 {status}\r\ncontent-length: {length}\r\n{headers}\r\n").into_bytes();
    bytes.extend_from_slice(body);
    bytes
}

fn ok(body: &str) -> Vec<u8> {
    answer("200 OK", "", body.as_bytes())
}

fn file(directory: &Path, name: &str, content: &str) -> std::path::PathBuf {
    let path = directory.join(name);
    std::fs::File::create(&path)
        .unwrap()
        .write_all(content.as_bytes())
        .unwrap();
    path
}

fn open(config: WebhookConfig) -> Result<Webhooks, Error> {
    let plans = plan(
        &BTreeMap::from([("hook".to_owned(), config)]),
        AccountId::default(),
    )?;
    Webhooks::open(&plans, Path::new("/"))
}

fn webhook(config: WebhookConfig) -> Arc<Webhook> {
    open(config).unwrap().0["hook"].clone()
}

fn plain(address: SocketAddr) -> WebhookConfig {
    WebhookConfig {
        url: format!("http://{address}/in"),
        allow_addresses: vec!["127.0.0.0/8".to_owned()],
        ..WebhookConfig::default()
    }
}

fn code(fault: &Fault) -> &'static str {
    identity::Explained::code(fault)
}

#[tokio::test]
async fn a_call_is_signed_and_carries_the_headers_of_the_operator() {
    let folder = tempfile::tempdir().unwrap();
    let pair = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let receiver = receive(Some(&pair), ok(r#"{"allowProvisioning":true}"#)).await;
    let hook = webhook(WebhookConfig {
        url: format!("https://localhost:{}/a/b?c=d", receiver.address.port()),
        ca: Some(file(folder.path(), "ca.pem", &pair.cert.pem())),
        secret: Some(file(folder.path(), "secret", "0123456789abcdef\n")),
        headers: BTreeMap::from([(
            "Authorization".to_owned(),
            file(folder.path(), "token", "Bearer x\n"),
        )]),
        allow_addresses: vec!["127.0.0.1".to_owned()],
        ..WebhookConfig::default()
    });
    let given = hook.ask(&json!({"certificateId": "aa"})).await.unwrap();
    assert_eq!(given, json!({"allowProvisioning": true}));
    let seen = receiver.seen.recv().unwrap();
    let (head, body) = seen.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("POST /a/b?c=d HTTP/1.1\r\n"), "{head}");
    assert!(head.contains("authorization: Bearer x"), "{head}");
    assert!(head.contains("x-birthmark-webhook: hook"), "{head}");
    let signature = head
        .lines()
        .find_map(|line| line.strip_prefix("x-birthmark-signature: "))
        .unwrap();
    let (time, mac) = signature.strip_prefix("t=").unwrap().split_once(",v1=").unwrap();
    let key = hmac::Key::new(hmac::HMAC_SHA256, b"0123456789abcdef");
    assert_eq!(
        mac,
        hex(hmac::sign(&key, format!("{time}.{body}").as_bytes()).as_ref())
    );
}

#[tokio::test]
async fn only_a_short_json_object_with_200_is_an_answer() {
    let long = format!("{{\"x\":\"{}\"}}", "y".repeat(WEBHOOK_ANSWER));
    let rows = [
        (
            answer("302 Found", "location: http://127.0.0.1:1/\r\n", b""),
            "cloud.webhook.redirect",
        ),
        (answer("204 No Content", "", b""), "cloud.webhook.status"),
        (answer("500 Oops", "", b"{}"), "cloud.webhook.status"),
        (ok("[]"), "cloud.webhook.answer"),
        (ok("no"), "cloud.webhook.answer"),
        (ok(&long), "cloud.webhook.too_long"),
        (b"SSH-2.0-x\r\n\r\n".to_vec(), "cloud.webhook.http"),
        (Vec::new(), "cloud.webhook.http"),
    ];
    for (bytes, expected) in rows {
        let receiver = receive(None, bytes).await;
        let fault = webhook(plain(receiver.address))
            .ask(&json!({}))
            .await
            .unwrap_err();
        assert_eq!(code(&fault), expected, "{fault}");
    }
    let receiver = receive(None, ok("{}")).await;
    assert_eq!(
        webhook(plain(receiver.address)).ask(&json!({})).await.unwrap(),
        json!({})
    );
}

const WEBHOOK_ANSWER: usize = crate::limits::WEBHOOK_ANSWER_BYTES_MAX;

#[tokio::test]
async fn a_private_address_is_called_only_if_it_is_listed() {
    let pair = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let receiver = receive(Some(&pair), ok("{}")).await;
    let folder = tempfile::tempdir().unwrap();
    let mut config = WebhookConfig {
        url: format!("https://localhost:{}/", receiver.address.port()),
        ca: Some(file(folder.path(), "ca.pem", &pair.cert.pem())),
        ..WebhookConfig::default()
    };
    let fault = webhook(config.clone()).ask(&json!({})).await.unwrap_err();
    assert_eq!(code(&fault), "cloud.webhook.address", "{fault}");
    assert!(receiver.seen.try_recv().is_err(), "nobody connected");
    config.allow_addresses = vec!["127.0.0.1/32".to_owned()];
    assert!(webhook(config.clone()).ask(&json!({})).await.is_ok());
    // Somebody else's certificate authority.
    let other = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    config.ca = Some(file(folder.path(), "other.pem", &other.cert.pem()));
    let fault = webhook(config).ask(&json!({})).await.unwrap_err();
    assert_eq!(code(&fault), "cloud.webhook.tls", "{fault}");
}

#[tokio::test]
async fn a_receiver_that_says_nothing_is_given_up() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let plans = plan(
        &BTreeMap::from([("hook".to_owned(), plain(listener.local_addr().unwrap()))]),
        AccountId::default(),
    );
    let mut hook = Webhook::open("hook", &plans.unwrap()["hook"], Path::new("/")).unwrap();
    hook.deadline = Duration::from_millis(20);
    let fault = hook.ask(&json!({})).await.unwrap_err();
    assert_eq!(code(&fault), "cloud.webhook.late");
    let _all = hook
        .places
        .acquire_many(u32::try_from(WEBHOOK_CALLS_MAX).unwrap())
        .await;
    assert_eq!(
        code(&hook.ask(&json!({})).await.unwrap_err()),
        "cloud.webhook.busy"
    );
}

#[test]
fn what_an_operator_may_not_write() {
    let with = |change: fn(&mut WebhookConfig)| {
        let mut config = WebhookConfig {
            url: "https://hooks.example.com/".to_owned(),
            ca: Some("/dev/null/none".into()),
            ..WebhookConfig::default()
        };
        change(&mut config);
        plan(
            &BTreeMap::from([("hook".to_owned(), config)]),
            AccountId::default(),
        )
    };
    assert!(with(|_| {}).is_ok());
    let changes: [fn(&mut WebhookConfig); 12] = [
        |config| config.url.clear(),
        |config| config.url = "http://hooks.example.com/".to_owned(),
        |config| config.url = "http://127.0.0.1/".to_owned(),
        |config| {
            config.url = "http://10.0.0.1/".to_owned();
            config.allow_addresses = vec!["10.0.0.0/8".to_owned()];
        },
        |config| {
            config.url = "http://localhost/".to_owned();
            config.allow_addresses = vec!["127.0.0.1".to_owned()];
        },
        |config| config.url = "file:///etc/passwd".to_owned(),
        |config| config.url = "https://user@hooks.example.com/".to_owned(),
        |config| config.allow_addresses = vec!["everything".to_owned()],
        |config| config.accounts = vec!["1".to_owned()],
        |config| config.events = vec!["rain".to_owned()],
        |config| drop(config.headers.insert("Host".to_owned(), "x".into())),
        |config| {
            drop(
                config
                    .headers
                    .insert("X-Birthmark-Signature".to_owned(), "x".into()),
            )
        },
    ];
    for (index, change) in changes.into_iter().enumerate() {
        assert!(with(change).is_err(), "{index}");
    }
    let named = |name: &str| {
        let config = WebhookConfig {
            url: "https://h.example.com".to_owned(),
            ..WebhookConfig::default()
        };
        plan(&BTreeMap::from([(name.to_owned(), config)]), AccountId::default()).is_ok()
    };
    assert!(named("a-B_9") && named(&"x".repeat(64)));
    assert!(!named("") && !named("a:b") && !named(&"x".repeat(65)));
}

#[test]
fn a_function_is_a_webhook_of_the_callers_account() {
    let folder = tempfile::tempdir().unwrap();
    let short = file(folder.path(), "short", "0123456789abcde");
    let address = "127.0.0.1:9".parse().unwrap();
    assert!(
        open(WebhookConfig {
            secret: Some(short),
            ..plain(address)
        })
        .is_err(),
        "15 bytes are no secret"
    );
    let webhooks = open(plain(address)).unwrap();
    let tenant = Tenant::default();
    let other = Tenant {
        account: "999999999999".parse().unwrap(),
        ..tenant
    };
    let find = |tenant: &Tenant, arn: &str| match webhooks.find(tenant, arn) {
        Ok(found) => found.name().to_owned(),
        Err(refusal) => identity::Explained::code(&refusal).to_owned(),
    };
    let arn = |name: &str| format!("arn:aws:lambda:us-east-1:123456789012:function:{name}");
    assert_eq!(find(&tenant, &arn("hook")), "hook");
    assert_eq!(find(&other, &arn("hook")), "cloud.webhook.unknown");
    assert_eq!(find(&tenant, &arn("none")), "cloud.webhook.unknown");
    for wrong in [
        "",
        "hook",
        "arn:aws:sns:us-east-1:123456789012:hook",
        &arn(""),
        &arn("hook:1"),
    ] {
        assert_eq!(find(&tenant, wrong), "cloud.webhook.arn", "{wrong}");
    }
}
