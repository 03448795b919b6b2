//! The data plane: any packets of three clients on one node, which may go away, come back and be refused; and the node made of
//! what it kept is the node that it was.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Arc, LazyLock};

use broker::{
    Action, Actions, Attach, Config, ConnectionId, Departure, Event, Node, Record, Restoring, SessionId,
};
use identity::{CertificateId, Tenant, UnixMillis};
use mqtt::{Decoded, Version, decode, v5};
use policy::{CertificateFacts, Context, Grant, NamedPolicy, Policy};

const CLIENTS: u64 = 3;

static GRANT: LazyLock<Arc<Grant>> = LazyLock::new(|| {
    let document = r#"{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"*","Resource":"*"}}"#;
    let policy = Policy::parse(document).map(|policy| NamedPolicy::new("open", policy));
    let policies: Vec<NamedPolicy> = policy.into_iter().collect();
    Arc::new(Grant::new(Tenant::default(), CertificateId([1; 32]), 1, policies))
});

struct Fuzzed {
    node: Node,
    log: Vec<Record>,
    now: UnixMillis,
    connections: u64,
    /// The connection of each client and the version it speaks.
    live: [Option<(ConnectionId, Version)>; CLIENTS as usize],
}

/// A list of `client, what, ...`: bytes of a packet follow 0, anything else happens to the client by itself.
pub(super) fn session(bytes: &[u8]) {
    let config = match bytes.first() {
        Some(1) => Config::AWS,
        _ => Config::SELF_HOST,
    };
    let mut fuzzed = Fuzzed {
        node: Node::new(config),
        log: Vec::new(),
        now: UnixMillis(1_000_000),
        connections: 0,
        live: [None; CLIENTS as usize],
    };
    let mut rest = bytes.get(1..).unwrap_or_default();
    while let [client, what, after @ ..] = rest {
        let client = usize::from(*client) % CLIENTS as usize;
        rest = match what % 8 {
            0 => fuzzed.lose(client, after),
            1 => fuzzed.wait(after),
            2 => fuzzed.come(client, Version::V3, after),
            3 => fuzzed.come(client, Version::V5, after),
            _ => fuzzed.packet(client, after),
        };
    }
    fuzzed.check(config);
}

impl Fuzzed {
    fn step(&mut self, event: Event<'_>) {
        let mut actions = Actions::new();
        self.node.step(event, self.now, &mut actions);
        for action in actions.drain() {
            match action {
                Action::Keep(record) => self.log.push(record),
                Action::Send { packet, .. } => {
                    let mut bytes = Vec::new();
                    packet.append_to(&mut bytes);
                    assert!(
                        bytes.len() <= packet.bytes(),
                        "a packet is not longer than it says"
                    );
                }
                Action::Close { connection, .. } => {
                    for live in &mut self.live {
                        *live = live.filter(|(live, _)| *live != connection);
                    }
                }
                _ => {}
            }
        }
    }

    fn lose<'a>(&mut self, client: usize, rest: &'a [u8]) -> &'a [u8] {
        if let Some((connection, _)) = self.live[client].take() {
            let reason = Departure::ConnectionLost;
            self.step(Event::Closed { connection, reason });
        }
        rest
    }

    fn wait<'a>(&mut self, rest: &'a [u8]) -> &'a [u8] {
        let (seconds, rest) = rest
            .split_first()
            .map_or((0, rest), |(first, rest)| (*first, rest));
        self.now = self.now.plus_millis(i64::from(seconds) * 60_000);
        self.step(Event::Tick);
        rest
    }

    /// Connects with the CONNECT that follows, if there is one, under the client's own name.
    fn come<'a>(&mut self, client: usize, version: Version, rest: &'a [u8]) -> &'a [u8] {
        let (connect, after) = match v5::decode(rest, 100_000) {
            Ok(v5::Decoded::Packet {
                packet: v5::Packet::Connect(connect),
                bytes,
            }) => (connect, &rest[bytes..]),
            _ => return rest,
        };
        let names = ["a", "b", "c"];
        let connect = v5::Connect {
            client_id: names[client],
            properties: if version == Version::V5 {
                connect.properties
            } else {
                v5::Properties::NONE
            },
            ..connect
        };
        self.connections += 1;
        let connection = ConnectionId(self.connections);
        let facts = Arc::new(CertificateFacts::new(CertificateId([1; 32])));
        let context = Context::new(names[client], IpAddr::V4(Ipv4Addr::LOCALHOST), facts, None);
        self.live[client] = None;
        let attach = Attach {
            connection,
            grant: GRANT.clone(),
            context,
            session: SessionId([0; 16]),
            version,
            connect,
        };
        self.live[client] = Some((connection, version));
        self.step(Event::Attach(attach));
        after
    }

    fn packet<'a>(&mut self, client: usize, rest: &'a [u8]) -> &'a [u8] {
        let Some((connection, version)) = self.live[client] else {
            return rest;
        };
        if version == Version::V3 {
            let Ok(Decoded::Packet { packet, bytes }) = decode(rest, 100_000) else {
                return rest;
            };
            self.step(Event::Packet { connection, packet });
            return &rest[bytes..];
        }
        let Ok(v5::Decoded::Packet { packet, bytes }) = v5::decode(rest, 100_000) else {
            return rest;
        };
        self.step(Event::PacketV5 { connection, packet });
        &rest[bytes..]
    }

    /// What is kept is what there is.
    fn check(mut self, config: Config) {
        for client in 0..CLIENTS as usize {
            self.lose(client, &[]);
        }
        let mut restoring = Restoring::new(config);
        for record in self.log.clone() {
            assert!(restoring.take(record).is_ok(), "a record fits nowhere");
        }
        let (mut restored, _) = restoring.finish(self.now);
        assert_eq!(restored.sessions_kept(), self.node.sessions_kept());
        assert_eq!(restored.kept_subscriptions(), self.node.kept_subscriptions());
        assert_eq!(restored.queued_bytes(), self.node.queued_bytes());
        let kinds = |node: &mut Node| {
            let mut actions = Actions::new();
            node.snapshot(self.now, &mut actions);
            let kinds = actions.iter().filter_map(|action| match action {
                Action::Keep(Record::Message { .. }) => None,
                Action::Keep(record) => Some((record.session(), core::mem::discriminant(record))),
                _ => None,
            });
            kinds.collect::<Vec<_>>()
        };
        assert_eq!(kinds(&mut restored), kinds(&mut self.node));
    }
}
