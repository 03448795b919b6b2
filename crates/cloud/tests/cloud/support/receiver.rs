//! A program of the operator's that webhooks call: plain HTTP on this machine, and answers as the test tells it.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver as Queue, Sender, channel};
use std::sync::{Arc, Mutex};

use cloud::WebhookConfig;
use serde_json::Value;

/// What the program answers to a question.
type Reply = Arc<Mutex<Box<dyn FnMut(&Value) -> String + Send>>>;

/// The program.
pub(crate) struct Receiver {
    address: SocketAddr,
    asked: Queue<Value>,
    reply: Reply,
}

impl Receiver {
    /// Answers every question with this.
    pub(crate) fn new(answer: Value) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (sender, asked) = channel();
        let reply: Reply = Arc::new(Mutex::new(Box::new(move |_| answer.to_string())));
        let replies = reply.clone();
        std::thread::spawn(move || {
            for socket in listener.incoming() {
                let (sender, replies) = (sender.clone(), replies.clone());
                std::thread::spawn(move || converse(socket.unwrap(), &sender, &replies));
            }
        });
        Self {
            address,
            asked,
            reply,
        }
    }

    /// Answers otherwise from now on.
    pub(crate) fn answer(&self, reply: impl FnMut(&Value) -> String + Send + 'static) {
        *self.reply.lock().unwrap() = Box::new(reply);
    }

    /// The next question that came.
    pub(crate) fn next(&self) -> Value {
        self.asked
            .recv_timeout(std::time::Duration::from_secs(20))
            .unwrap()
    }

    /// How the server knows it.
    pub(crate) fn config(&self) -> WebhookConfig {
        WebhookConfig {
            url: format!("http://{}/", self.address),
            allow_addresses: vec!["127.0.0.1".to_owned()],
            ..WebhookConfig::default()
        }
    }
}

fn converse(socket: TcpStream, asked: &Sender<Value>, reply: &Reply) {
    let mut reader = BufReader::new(socket);
    let mut length = 0;
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).unwrap_or(0) == 0 {
            return;
        }
        if let Some(value) = line.strip_prefix("content-length: ") {
            length = value.trim().parse().unwrap();
        }
        if line == "\r\n" {
            break;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).unwrap();
    let question: Value = serde_json::from_slice(&body).unwrap();
    let answer = (reply.lock().unwrap())(&question);
    let _ = asked.send(question);
    let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", answer.len());
    let _ = reader.get_mut().write_all(format!("{head}{answer}").as_bytes());
}
