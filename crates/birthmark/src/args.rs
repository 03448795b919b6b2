//! What was typed: the command line, parsed and nothing else.
//!
//! Nothing is started, opened or resolved here; each command's own file turns its arguments into a plan and runs it.

use std::{net::SocketAddr, path::PathBuf};

use clap::{Args, Parser, Subcommand, ValueEnum};

mod fleet;

pub(crate) use fleet::*;

/// Identity for devices from the factory floor to the cloud.
#[derive(Debug, Parser)]
#[command(
    name = "birthmark",
    version,
    arg_required_else_help = true,
    after_help = "Exit codes: 0 done · 1 refused, or a count that does not match · 2 wrong command line or configuration · 3 fault (port, disk, chip, network)"
)]
pub(crate) struct Birthmark {
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// The subcommands, in the order of the story.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Take devices through the whole story on this machine: factory, chips, cloud, first connection, refusals
    Demo(Demo),
    /// Run the cloud: MQTT over mutual TLS, and the AWS IoT Core API over HTTPS
    Serve(Serve),
    /// Run a production line: CA, chips, certificates, ledger
    #[command(subcommand)]
    Factory(Factory),
    /// Simulated secure elements on the virtual I²C bus
    #[command(subcommand)]
    Chip(Chip),
    /// Tokens for the PKCS #11 module
    #[command(subcommand)]
    Token(Token),
    /// A device: enroll one by hand, or connect and publish; with this machine's tokens or any vendor's module
    #[command(subcommand)]
    Device(Device),
    /// The fleet in the cloud: which devices may come in, moving it, and stuck devices once more
    #[command(subcommand)]
    Fleet(Fleet),
    /// Access keys of the API: when each was last used, a new one in the place of an old one, an end to one that leaked
    #[command(subcommand)]
    Key(Key),
    /// Why was this device refused, and what mends it
    Explain(Box<Explain>),
    /// Validate a configuration and print each effective value with its origin
    Check(Check),
}

/// When a provisioned device may go on: after a reconnect, or at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum FirstConnect {
    /// Provision, then close; the device reconnects (as AWS IoT Core does)
    Close,
    /// Provision while the connection waits, then answer on it
    Hold,
}

/// `birthmark demo`
#[derive(Debug, Args)]
pub(crate) struct Demo {
    /// How many devices to make
    #[arg(long, default_value_t = 100, value_name = "N", value_parser = clap::value_parser!(u32).range(4..=1_000_000))]
    pub(crate) devices: u32,
    /// Print one JSON object on stdout at the end
    #[arg(long)]
    pub(crate) json: bool,
    /// Keep everything in DIR; run again on the same DIR to carry on where it stopped
    #[arg(long, value_name = "DIR")]
    pub(crate) keep: Option<PathBuf>,
    /// What the cloud does with a device's first connection
    #[arg(long, value_enum, default_value_t = FirstConnect::Close)]
    pub(crate) first_connect: FirstConnect,
}

/// `birthmark serve`
#[derive(Debug, Args)]
pub(crate) struct Serve {
    /// Where the cloud keeps its records, keys and ready.json
    #[arg(long, value_name = "DIR")]
    pub(crate) data_dir: Option<PathBuf>,
    /// Configuration file (TOML); none is a valid configuration
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// MQTT over mutual TLS [default: 127.0.0.1:8883]; port 0 takes any free one
    #[arg(long, value_name = "HOST:PORT")]
    pub(crate) listen_mqtt: Option<SocketAddr>,
    /// AWS IoT Core API over HTTPS [default: 127.0.0.1:8443]; port 0 takes any free one
    #[arg(long, value_name = "HOST:PORT")]
    pub(crate) listen_api: Option<SocketAddr>,
    /// Metrics for Prometheus over plain HTTP, on a loopback address [default: nowhere]; port 0 takes any free one
    #[arg(long, value_name = "HOST:PORT")]
    pub(crate) listen_metrics: Option<SocketAddr>,
    /// One port for MQTT, WebSocket and HTTPS, told apart by ALPN as on AWS's port 443 [default: off]
    #[arg(long, value_name = "HOST:PORT")]
    pub(crate) listen_mux: Option<SocketAddr>,
    /// MQTT without TLS, for this machine only [default: off]; needs --plain-policy
    #[arg(long, value_name = "HOST:PORT")]
    pub(crate) listen_plain: Option<SocketAddr>,
    /// What clients without TLS may do: the name of a policy
    #[arg(long, value_name = "POLICY")]
    pub(crate) plain_policy: Option<String>,
    /// A host name that devices and tools use for this server (repeatable; localhost is always one)
    #[arg(long = "hostname", value_name = "NAME")]
    pub(crate) hostnames: Vec<String>,
    /// What to do with a device's first connection [default: close]
    #[arg(long, value_enum)]
    pub(crate) first_connect: Option<FirstConnect>,
    /// Admit CAs and devices whose certificates say SIMULATED
    #[arg(long)]
    pub(crate) allow_simulated: bool,
    /// Refuse API calls beyond AWS's quotas with ThrottlingException.
    #[arg(long)]
    pub(crate) emulate_quotas: bool,
}

/// `birthmark factory …`
#[derive(Debug, Subcommand)]
pub(crate) enum Factory {
    /// Make a root CA and a signer CA for one customer
    Init(FactoryInit),
    /// Take chips through the line: key, certificate, trust anchor, lock
    Run(FactoryRun),
    /// Count what the ledger holds
    Status(FactoryDir),
    /// Verify the ledger: chain, signatures, serials
    Verify(FactoryDir),
    /// Write down, signed, which devices of an order were really made, for a cloud to compare with
    Manifest(FactoryManifest),
    /// Register the signer CA with a cloud, with proof of possession; where signers of manifests are enrolled, its gate is closed
    RegisterCa(RegisterCa),
}

/// The directory of a factory.
#[derive(Debug, Args)]
pub(crate) struct FactoryDir {
    /// The factory's directory
    #[arg(long, value_name = "DIR")]
    pub(crate) dir: PathBuf,
    /// Print one JSON object on stdout
    #[arg(long)]
    pub(crate) json: bool,
}

/// `birthmark factory init`
#[derive(Debug, Args)]
pub(crate) struct FactoryInit {
    /// The directory to make; keys are kept here, mode 0600
    #[arg(long, value_name = "DIR")]
    pub(crate) dir: PathBuf,
    /// Customer whose devices this CA signs: becomes the organisation in the CA names
    #[arg(long, value_name = "NAME")]
    pub(crate) customer: String,
    /// The chips are simulated: root and leaves say SIMULATED for ever
    #[arg(long)]
    pub(crate) simulated: bool,
}

/// `birthmark factory run`
#[derive(Debug, Args)]
pub(crate) struct FactoryRun {
    /// The factory's directory
    #[arg(long, value_name = "DIR")]
    pub(crate) dir: PathBuf,
    /// A chip on the virtual I²C bus: unix:PATH or tcp:HOST:PORT (repeatable)
    #[arg(long = "chip", value_name = "ADDRESS", required = true)]
    pub(crate) chips: Vec<String>,
    /// The cloud's server root, PEM: the trust anchor that goes into the chips
    #[arg(long, value_name = "FILE")]
    pub(crate) server_root: PathBuf,
    /// Most certificates that this order may ever have
    #[arg(long, value_name = "N", default_value_t = 1000)]
    pub(crate) order_count: u64,
    /// Beginning of each thing name
    #[arg(long, default_value = "bm-", value_name = "TEXT")]
    pub(crate) prefix: String,
    /// Print one JSON object on stdout
    #[arg(long)]
    pub(crate) json: bool,
}

/// How to reach an API that speaks AWS IoT Core.
#[derive(Debug, Args)]
pub(crate) struct Api {
    /// Data directory of a `serve` on this machine: it says where the API is, and has its CA and an access key
    #[arg(long, value_name = "DIR")]
    pub(crate) data_dir: Option<PathBuf>,
    /// The API, https://host:port
    #[arg(long, value_name = "URL", required_unless_present = "data_dir")]
    pub(crate) endpoint_url: Option<String>,
    /// CA that the API's server certificate ends in, PEM
    #[arg(long, value_name = "FILE", required_unless_present = "data_dir")]
    pub(crate) ca_bundle: Option<PathBuf>,
    /// Access key, in the AWS shared-credentials format
    #[arg(long, value_name = "FILE", required_unless_present = "data_dir")]
    pub(crate) credentials: Option<PathBuf>,
    /// Profile in that file
    #[arg(long, default_value = "default", value_name = "NAME")]
    pub(crate) profile: String,
    /// Region of the signature
    #[arg(long, default_value = "us-east-1", value_name = "NAME")]
    pub(crate) region: String,
    /// Yes, ask the real AWS
    #[arg(long)]
    pub(crate) real_aws: bool,
}

/// `birthmark factory register-ca`
#[derive(Debug, Args)]
pub(crate) struct RegisterCa {
    /// The factory's directory
    #[arg(long, value_name = "DIR")]
    pub(crate) dir: PathBuf,
    /// How to reach the cloud
    #[command(flatten)]
    pub(crate) api: Api,
    /// Provisioning template, JSON; without one devices wait as PENDING_ACTIVATION
    #[arg(long, value_name = "FILE")]
    pub(crate) template: Option<PathBuf>,
    /// Role that AWS would assume for provisioning (needed by AWS with a template; kept and echoed here)
    #[arg(
        long,
        value_name = "ARN",
        default_value = "arn:aws:iam::123456789012:role/birthmark-provisioning"
    )]
    pub(crate) role_arn: String,
}

/// `birthmark chip …`
#[derive(Debug, Subcommand)]
pub(crate) enum Chip {
    /// Serve simulated chips on the virtual I²C bus; prints one JSON line with the addresses
    Serve(ChipServe),
    /// Read what a chip says of itself: UID, life cycle, objects, who may do what with them, certificates
    Inspect(ChipAddress),
    /// Decode a bus into physical, link, transport and command lines: a recording, or a chip that is asked a few things
    Trace(ChipTrace),
    /// Find out what is wrong with this bus or this chip
    Doctor(ChipDoctor),
    /// Carry out a plan on one chip: shows first what can never be undone, and does it only with --apply
    Personalize(ChipPersonalize),
}

/// One layer of the bus.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum TraceLayer {
    /// Registers and acknowledgements
    Physical,
    /// Frames
    Link,
    /// Chains of frames
    Transport,
    /// Commands and answers
    Command,
}

/// `birthmark chip trace`
#[derive(Debug, Args)]
pub(crate) struct ChipTrace {
    /// A recording: one transaction a line (W 82, R 08 00 00 00, W NAK) or JSON lines with kind and bytes; - is stdin
    #[arg(
        value_name = "FILE",
        required_unless_present = "chip",
        conflicts_with = "chip"
    )]
    pub(crate) file: Option<PathBuf>,
    /// Open the chip at unix:PATH, tcp:HOST:PORT or /dev/i2c-N instead, and show what crosses the bus
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) chip: Option<String>,
    /// Save what crossed the bus; the file holds every byte, secrets too
    #[arg(long, value_name = "FILE", requires = "chip")]
    pub(crate) save: Option<PathBuf>,
    /// Show this layer only
    #[arg(long, value_enum)]
    pub(crate) layer: Option<TraceLayer>,
    /// Print one JSON object a line on stdout
    #[arg(long)]
    pub(crate) json: bool,
}

/// `birthmark chip doctor`
#[derive(Debug, Args)]
pub(crate) struct ChipDoctor {
    /// The chip: unix:PATH or tcp:HOST:PORT on the virtual I²C bus, or /dev/i2c-N
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) chip: String,
    /// Also reset the chip over the bus and look whether it took: what is volatile in it is lost
    #[arg(long)]
    pub(crate) reset: bool,
    /// Print one JSON object on stdout
    #[arg(long)]
    pub(crate) json: bool,
}

/// `birthmark chip personalize`
#[derive(Debug, Args)]
pub(crate) struct ChipPersonalize {
    /// The chip: unix:PATH or tcp:HOST:PORT on the virtual I²C bus, or /dev/i2c-N
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) chip: String,
    /// What to do, in TOML: [[step]] do = "generate-key", object = "E0F1", ...
    #[arg(long, value_name = "FILE")]
    pub(crate) plan: PathBuf,
    /// Do it; without this the plan is shown and nothing is done
    #[arg(long)]
    pub(crate) apply: bool,
    /// Print one JSON object on stdout
    #[arg(long)]
    pub(crate) json: bool,
}

/// Which chip.
#[derive(Debug, Args)]
pub(crate) struct ChipAddress {
    /// The chip: unix:PATH or tcp:HOST:PORT on the virtual I²C bus, or /dev/i2c-N
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) chip: String,
    /// Print one JSON object on stdout
    #[arg(long)]
    pub(crate) json: bool,
}

/// Simulated time of a chip.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Timing {
    /// Answer as fast as the protocol allows
    None,
    /// Take the time that the datasheet gives
    Wall,
    /// Take that time on a clock which the bus advances
    Virtual,
}

/// `birthmark chip serve`
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub(crate) struct ChipPlace {
    /// Serve on Unix sockets: PATH for one chip, PATH.0, PATH.1 … for several
    #[arg(long, value_name = "PATH")]
    pub(crate) socket: Option<PathBuf>,
    /// Serve on loopback TCP: one port a chip, port 0 takes free ones
    #[arg(long, value_name = "HOST:PORT")]
    pub(crate) tcp: Option<SocketAddr>,
    /// Serve one chip on a serial line, for firmware in an emulator: a terminal, the Unix socket of a UART, or `pty` for a new
    /// terminal
    #[arg(long, value_name = "PATH|pty", conflicts_with_all = ["socket", "tcp"])]
    pub(crate) serial: Option<PathBuf>,
}

/// When a chip refuses its address although it could answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ChipNack {
    /// Never
    None,
    /// In the windows that were measured on silicon
    Silicon,
    /// Only when it is woken
    Sleep,
    /// At random, for up to 100 ms
    Adversarial,
}

/// In which state the factory left a chip.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ChipProfile {
    /// Factory key and certificate are as they are for ever
    Prod,
    /// An engineering sample: they can be written
    Sample,
}

/// `birthmark chip serve`
#[derive(Debug, Args)]
pub(crate) struct ChipServe {
    /// Where to serve
    #[command(flatten)]
    pub(crate) place: ChipPlace,
    /// Keep the chips in FILE (mode 0600); without it they are forgotten at the end
    #[arg(long, value_name = "FILE")]
    pub(crate) tray: Option<PathBuf>,
    /// How many chips
    #[arg(long, default_value_t = 1, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1024))]
    pub(crate) chips: u32,
    /// How the chips keep time
    #[arg(long, value_enum, default_value_t = Timing::None)]
    pub(crate) timing: Timing,
    /// When the chips refuse their address
    #[arg(long, value_enum, default_value_t = ChipNack::None)]
    pub(crate) nack: ChipNack,
    /// What goes wrong, in thousandths: lost-in=N,garbled-out=N,nack-storm=NxLENGTH,power-cut=PAGES …
    #[arg(long, value_name = "LIST", value_parser = crate::commands::chip_serve::accidents)]
    pub(crate) faults: Option<crate::commands::chip_serve::Accidents>,
    /// How the factory left the chips; a tray that exists has its own profile
    #[arg(long, value_enum)]
    pub(crate) profile: Option<ChipProfile>,
    /// Makes the same chips and the same accidents again; without it both are new each time
    #[arg(long, value_name = "N")]
    pub(crate) seed: Option<u64>,
}

/// `birthmark token …`
#[derive(Debug, Subcommand)]
pub(crate) enum Token {
    /// Make a token and a configuration of the PKCS #11 module that has it as slot 0
    Init(TokenInit),
    /// List slots, tokens and objects, each with its PKCS #11 URI
    List(TokenList),
    /// Say what is wrong with the configured tokens, and run the programs of this machine that would use them
    Doctor(TokenDoctor),
    /// End all changes of a token in files for ever, for a medium that is written once
    Seal(TokenSeal),
}

/// What keeps a token's keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum TokenBackend {
    /// Sealed files in a directory
    Flash,
    /// A secure element
    Chip,
}

/// `birthmark token init`
#[derive(Debug, Args)]
pub(crate) struct TokenInit {
    /// What keeps the keys
    #[arg(long, value_enum)]
    pub(crate) backend: TokenBackend,
    /// What the token is called, at most 32 bytes
    #[arg(long, value_name = "TEXT")]
    pub(crate) label: String,
    /// Where pkcs11.toml goes, and the token's files
    #[arg(long, value_name = "DIR")]
    pub(crate) dir: PathBuf,
    /// File with the user's PIN, 4 to 64 bytes; a chip without one has no login
    #[arg(long, value_name = "FILE", requires = "so_pin_file")]
    pub(crate) pin_file: Option<PathBuf>,
    /// File with the security officer's PIN, 4 to 64 bytes
    #[arg(long, value_name = "FILE", requires = "pin_file")]
    pub(crate) so_pin_file: Option<PathBuf>,
    /// For development only: both PINs are 0000, which FreeRTOS's examples send
    #[arg(long, conflicts_with = "pin_file")]
    pub(crate) freertos_dev: bool,
    /// The chip on the virtual I²C bus: unix:PATH or tcp:IP:PORT (chip)
    #[arg(long, value_name = "ADDRESS", required_if_eq("backend", "chip"))]
    pub(crate) chip: Option<String>,
}

/// `birthmark token seal`
#[derive(Debug, Args)]
pub(crate) struct TokenSeal {
    /// The directory of `token init`
    #[arg(long, value_name = "DIR")]
    pub(crate) dir: PathBuf,
    /// Where wrong PINs are counted from now on: a file that can be written, outside of the token
    #[arg(long, value_name = "FILE")]
    pub(crate) counters: PathBuf,
    /// File with the security officer's PIN
    #[arg(long, value_name = "FILE")]
    pub(crate) so_pin_file: PathBuf,
}

/// `birthmark token doctor`
#[derive(Debug, Args)]
pub(crate) struct TokenDoctor {
    /// Which configuration
    #[command(flatten)]
    pub(crate) config: TokenConfig,
    /// File with the user's PIN: programs sign with a key of a token that has a login
    #[arg(long, value_name = "FILE")]
    pub(crate) pin_file: Option<PathBuf>,
    /// The PKCS #11 module [default: libbirthmark_pkcs11.so beside this program]
    #[arg(long, value_name = "PATH")]
    pub(crate) module: Option<PathBuf>,
}

/// Which slots.
#[derive(Debug, Args)]
pub(crate) struct TokenConfig {
    /// Configuration of the PKCS #11 module [default: the one that the module would take]
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
}

/// `birthmark token list`
#[derive(Debug, Args)]
pub(crate) struct TokenList {
    /// Which configuration
    #[command(flatten)]
    pub(crate) config: TokenConfig,
    /// File with the user's PIN: lists private objects, too
    #[arg(long, value_name = "FILE")]
    pub(crate) pin_file: Option<PathBuf>,
    /// For each private key: what each program must be told, and a command that proves it
    #[arg(long, conflicts_with = "json")]
    pub(crate) lines: bool,
    /// The PKCS #11 module in those lines [default: libbirthmark_pkcs11.so beside this program]
    #[arg(long, value_name = "PATH")]
    pub(crate) module: Option<PathBuf>,
    /// Print one JSON object on stdout
    #[arg(long)]
    pub(crate) json: bool,
}

/// `birthmark device …`
#[derive(Debug, Subcommand)]
pub(crate) enum Device {
    /// Generate a key in the device's token and have the cloud certify it: one device by hand
    Enroll(Box<Enroll>),
    /// Connect with the identity in the token and publish one message
    Run(Box<DeviceRun>),
}

/// Which token a device has, and what its objects are called there.
#[derive(Debug, Args)]
pub(crate) struct DeviceToken {
    /// Configuration of this machine's tokens [default: the one that the PKCS #11 module would take]
    #[arg(long, value_name = "FILE", conflicts_with = "module")]
    pub(crate) config: Option<PathBuf>,
    /// Any vendor's PKCS #11 module instead of this machine's own tokens
    #[arg(long, value_name = "PATH")]
    pub(crate) module: Option<PathBuf>,
    /// Number of the slot [default: the first one with a token]
    #[arg(long, value_name = "N", conflicts_with = "token")]
    pub(crate) slot: Option<u64>,
    /// What the token is called
    #[arg(long, value_name = "LABEL")]
    pub(crate) token: Option<String>,
    /// File with the user's PIN, for a token that has a login
    #[arg(long, value_name = "FILE")]
    pub(crate) pin_file: Option<PathBuf>,
    /// What the private key is called in the token
    #[arg(long, value_name = "LABEL", default_value = "Device Priv TLS Key")]
    pub(crate) key_label: String,
    /// What the certificate is called
    #[arg(long, value_name = "LABEL", default_value = "Device Cert")]
    pub(crate) certificate_label: String,
    /// What the root is called that servers must have
    #[arg(long, value_name = "LABEL", default_value = "Root Cert")]
    pub(crate) root_label: String,
}

/// `birthmark device enroll`
#[derive(Debug, Args)]
pub(crate) struct Enroll {
    /// Which token
    #[command(flatten)]
    pub(crate) token: DeviceToken,
    /// How to reach the cloud
    #[command(flatten)]
    pub(crate) api: Api,
    /// The thing to make and attach
    #[arg(long, value_name = "NAME")]
    pub(crate) thing: String,
    /// The policy to attach; made with least rights for this thing if it does not exist
    #[arg(long, value_name = "NAME")]
    pub(crate) policy: String,
    /// MQTT endpoint to connect to afterwards, HOST:PORT [default: what DescribeEndpoint says, port 8883]
    #[arg(long, value_name = "HOST:PORT")]
    pub(crate) mqtt: Option<String>,
    /// Server root that goes into the token as trust anchor, PEM [default: the CA bundle]
    #[arg(long, value_name = "FILE")]
    pub(crate) server_root: Option<PathBuf>,
    /// Replace a key and certificate that the token already holds
    #[arg(long)]
    pub(crate) overwrite: bool,
    /// Print one JSON object on stdout
    #[arg(long)]
    pub(crate) json: bool,
}

/// `birthmark device run`
#[derive(Debug, Args)]
pub(crate) struct DeviceRun {
    /// Which token
    #[command(flatten)]
    pub(crate) token: DeviceToken,
    /// The cloud's MQTT endpoint, HOST:PORT
    #[arg(long, value_name = "HOST:PORT")]
    pub(crate) mqtt: String,
    /// Client id [default: the common name of the device's certificate]
    #[arg(long, value_name = "ID")]
    pub(crate) client_id: Option<String>,
    /// Topic to publish to [default: dt/<client id>/telemetry]
    #[arg(long, value_name = "TOPIC")]
    pub(crate) topic: Option<String>,
    /// What to publish
    #[arg(long, value_name = "TEXT", default_value = "{\"hello\":\"world\"}")]
    pub(crate) message: String,
    /// Offer TLS 1.2 only
    #[arg(long)]
    pub(crate) tls12: bool,
    /// Remember refusals here, for `birthmark explain --data-dir`
    #[arg(long, value_name = "DIR")]
    pub(crate) data_dir: Option<PathBuf>,
}

/// `birthmark explain`
#[derive(Debug, Args)]
pub(crate) struct Explain {
    /// The cloud's (or a device's) data directory; reading while `serve` runs is fine
    #[arg(long, value_name = "DIR")]
    pub(crate) data_dir: Option<PathBuf>,
    /// Say what would happen to this certificate (PEM) if it connected now; nothing is written
    #[arg(long, value_name = "FILE", conflicts_with_all = ["what", "refused", "follow"])]
    pub(crate) dry_run: Option<PathBuf>,
    /// What the device would send with that certificate, PEM
    #[arg(long, value_name = "FILE", requires = "dry_run")]
    pub(crate) chain: Option<PathBuf>,
    /// The server name that the device would ask for; empty for none [default: what DescribeEndpoint says]
    #[arg(long, value_name = "NAME", requires = "dry_run")]
    pub(crate) server_name: Option<String>,
    /// The cloud's configuration (TOML), for that certificate
    #[arg(long, value_name = "FILE", requires = "dry_run")]
    pub(crate) config: Option<PathBuf>,
    /// fingerprint | certificate id | thing | ip address | last
    #[arg(default_value = "last")]
    pub(crate) what: String,
    /// Only attempts that were refused
    #[arg(long)]
    pub(crate) refused: bool,
    /// How many attempts to show, newest first
    #[arg(long, default_value_t = 1, value_name = "N")]
    pub(crate) count: usize,
    /// Go on with every further attempt as it is recorded
    #[arg(long)]
    pub(crate) follow: bool,
    /// Print one JSON object a line on stdout
    #[arg(long)]
    pub(crate) json: bool,
}

/// `birthmark check`
#[derive(Debug, Args)]
pub(crate) struct Check {
    /// Configuration file (TOML)
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Data directory to look at, too
    #[arg(long, value_name = "DIR")]
    pub(crate) data_dir: Option<PathBuf>,
    /// Read the whole audit log of the data directory and check every link of its chain; serve may run
    #[arg(long)]
    pub(crate) audit: bool,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::Birthmark;

    #[test]
    fn the_command_line_is_well_formed() {
        Birthmark::command().debug_assert();
    }
}
