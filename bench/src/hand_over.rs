//! What it costs to hand a connection from the runtime that accepted it to the runtime that carries it: two servers that differ in
//! nothing else, each a process of its own.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::thread;

use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::mpsc;
use tokio::task::{LocalSet, spawn_local};

use crate::cloud::Server;
use crate::in_turns::middle;
use crate::{Outcome, cpu};

/// Connections of one measurement.
const CONNECTIONS: usize = 4_000;

/// Rounds, of which the middle one counts.
const ROUNDS: usize = 7;

/// Connections under way at any time.
const IN_FLIGHT: usize = 16;

/// Connections that wait for the other runtime.
const MAILBOX: usize = 1024;

/// Prints what a connection costs that stays, one that goes, and the difference.
pub(crate) fn run() -> Outcome<()> {
    let (stay, go) = (Server::hand_over("stay")?, Server::hand_over("go")?);
    let (mut stays, mut differences) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let here = micros(&stay)?;
        stays.push(here);
        differences.push(micros(&go)? - here);
    }
    println!(
        "{}",
        json!({ "stay_us": middle(stays), "hand_over_us": middle(differences) })
    );
    Ok(())
}

fn micros(server: &Server) -> Outcome<f64> {
    let before = cpu::nanoseconds(server.pid())?;
    let address = server.address;
    thread::scope(|scope| {
        let clients: Vec<_> = (0..IN_FLIGHT)
            .map(|_| scope.spawn(move || clients(address)))
            .collect();
        clients
            .into_iter()
            .try_for_each(|client| client.join().map_err(|_| "a client ended badly")?)
    })?;
    Ok((cpu::nanoseconds(server.pid())? - before) as f64 / 1_000.0 / CONNECTIONS as f64)
}

fn clients(address: SocketAddr) -> Outcome<()> {
    for _ in 0..CONNECTIONS / IN_FLIGHT {
        let mut stream = TcpStream::connect(address)?;
        stream.write_all(&[1])?;
        stream.read_exact(&mut [0])?;
    }
    Ok(())
}

/// Serves until it is killed, on one thread (`stay`) or on the next one (`go`).
pub(crate) fn serve(how: &str) -> Outcome<()> {
    let runtime = runtime()?;
    let (sender, mut mailbox) = mpsc::channel::<TcpStream>(MAILBOX);
    thread::spawn(move || {
        let Ok(runtime) = self::runtime() else { return };
        LocalSet::new().block_on(&runtime, async {
            while let Some(socket) = mailbox.recv().await {
                if let Ok(socket) = tokio::net::TcpStream::from_std(socket) {
                    spawn_local(answer(socket));
                }
            }
        });
    });
    let goes = how == "go";
    LocalSet::new().block_on(&runtime, async {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        println!("{}", listener.local_addr()?);
        loop {
            let (socket, _) = listener.accept().await?;
            let sender = goes.then(|| sender.clone());
            spawn_local(async move {
                let mut socket = socket;
                // The first byte is read where the connection came in, as a handshake would be.
                let _ = socket.read_u8().await;
                match sender {
                    Some(sender) => drop(sender.send(socket.into_std()?).await),
                    None => drop(spawn_local(answer(socket))),
                }
                Ok::<(), std::io::Error>(())
            });
        }
    })
}

async fn answer(mut socket: tokio::net::TcpStream) {
    let _ = socket.write_all(&[2]).await;
    let _ = socket.read(&mut [0]).await;
}

fn runtime() -> Outcome<Runtime> {
    Ok(Builder::new_current_thread().enable_all().build()?)
}
