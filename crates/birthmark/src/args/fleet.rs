//! What was typed after `birthmark fleet` and `birthmark factory manifest`.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

use super::Api;

/// `birthmark fleet …`
#[derive(Debug, Subcommand)]
pub(crate) enum Fleet {
    /// Manifests: whose signature counts, what was taken, which CAs ask them
    #[command(subcommand)]
    Manifest(Manifest),
    /// Write things, types, groups, certificates, CAs, policies and templates into a file; no private keys
    Export(Box<FleetExport>),
    /// Take such a file in, or another account; run again it mends what is missing
    Import(Box<FleetImport>),
    /// Play the devices that are stuck once more through the template of their CA, after it was mended
    Reprovision(FleetReprovision),
}

/// `birthmark fleet manifest …`
#[derive(Debug, Subcommand)]
pub(crate) enum Manifest {
    /// Bring a manifest to the cloud; run again it goes on where it stopped
    Import(ManifestImport),
    /// Sign a table of devices (CSV, or one JSON object a line) as a manifest; nothing is sent
    Sign(ManifestSign),
    /// Say when the devices of an order may come in, for manifests that do not say it themselves
    Place(ManifestPlace),
    /// Show the orders and how far each has come
    Orders(ManifestQuestion),
    /// Who may sign manifests
    #[command(subcommand)]
    Signers(ManifestSigners),
    /// Close or open the gate of a CA: closed, it lets in only devices that a manifest lists
    Gate(ManifestGate),
}

/// `birthmark fleet manifest signers …`
#[derive(Debug, Subcommand)]
pub(crate) enum ManifestSigners {
    /// Show them
    List(ManifestQuestion),
    /// Let the manifests of this key count
    Enroll(SignerEnroll),
    /// Let them count no more, for ever
    Revoke(SignerRevoke),
}

/// A question to the cloud.
#[derive(Debug, Args)]
pub(crate) struct ManifestQuestion {
    /// How to reach the cloud
    #[command(flatten)]
    pub(crate) api: Api,
    /// Print one JSON object on stdout
    #[arg(long)]
    pub(crate) json: bool,
}

/// `birthmark fleet manifest import`
#[derive(Debug, Args)]
pub(crate) struct ManifestImport {
    /// The manifest: signed lines, or Microchip's JSON
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
    /// The order that Microchip's JSON belongs to (see `place`)
    #[arg(long, value_name = "NAME")]
    pub(crate) order: Option<String>,
    /// How to reach the cloud
    #[command(flatten)]
    pub(crate) api: Api,
    /// Print one JSON object on stdout
    #[arg(long)]
    pub(crate) json: bool,
}

/// What an order allows.
#[derive(Debug, Args)]
pub(crate) struct OrderTerms {
    /// Id of the CA whose devices these are
    #[arg(long, value_name = "ID")]
    pub(crate) ca: String,
    /// How many devices there may ever be
    #[arg(long, value_name = "N")]
    pub(crate) count: u64,
    /// Days from now in which they may come in for the first time
    #[arg(long, value_name = "N", default_value_t = 3650)]
    pub(crate) days: u32,
    /// How many may come in for the first time in one hour; 0 is as many as like
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(crate) per_hour: u64,
}

/// `birthmark fleet manifest sign`
#[derive(Debug, Args)]
pub(crate) struct ManifestSign {
    /// The table: a header and rows of CSV, or one JSON object a line; columns key or certificate, unit, thing, and others
    #[arg(value_name = "FILE")]
    pub(crate) table: PathBuf,
    /// Private key of the signer, PKCS #8 in PEM; not that of a CA
    #[arg(long, value_name = "FILE")]
    pub(crate) key: PathBuf,
    /// Name of the order
    #[arg(long, value_name = "NAME")]
    pub(crate) order: String,
    /// What the order allows
    #[command(flatten)]
    pub(crate) terms: OrderTerms,
    /// Where the manifest goes
    #[arg(long, value_name = "FILE")]
    pub(crate) out: PathBuf,
}

/// `birthmark fleet manifest place`
#[derive(Debug, Args)]
pub(crate) struct ManifestPlace {
    /// Name of the order
    #[arg(value_name = "NAME")]
    pub(crate) order: String,
    /// Id of the signer of its manifests
    #[arg(long, value_name = "ID")]
    pub(crate) signer: String,
    /// What the order allows
    #[command(flatten)]
    pub(crate) terms: OrderTerms,
    /// How to reach the cloud
    #[command(flatten)]
    pub(crate) api: Api,
}

/// `birthmark fleet manifest signers enroll`
#[derive(Debug, Args)]
pub(crate) struct SignerEnroll {
    /// Its certificate or its public key, PEM
    #[arg(value_name = "FILE")]
    pub(crate) document: PathBuf,
    /// What people call it
    #[arg(long, value_name = "TEXT", default_value = "")]
    pub(crate) label: String,
    /// How to reach the cloud
    #[command(flatten)]
    pub(crate) api: Api,
}

/// `birthmark fleet manifest signers revoke`
#[derive(Debug, Args)]
pub(crate) struct SignerRevoke {
    /// Its id
    #[arg(value_name = "ID")]
    pub(crate) signer: String,
    /// How to reach the cloud
    #[command(flatten)]
    pub(crate) api: Api,
}

/// Whether a gate is closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum GateState {
    /// Only devices of manifests come in
    Closed,
    /// Every device that the CA signed comes in
    Open,
}

/// `birthmark fleet manifest gate`
#[derive(Debug, Args)]
pub(crate) struct ManifestGate {
    /// Id of the CA
    #[arg(value_name = "CA")]
    pub(crate) ca: String,
    /// What to make it; without it the gate is only shown
    #[arg(value_enum)]
    pub(crate) state: Option<GateState>,
    /// How to reach the cloud
    #[command(flatten)]
    pub(crate) api: Api,
}

/// `birthmark factory manifest`
#[derive(Debug, Args)]
pub(crate) struct FactoryManifest {
    /// The factory's directory
    #[arg(long, value_name = "DIR")]
    pub(crate) dir: PathBuf,
    /// The order; the only one, if none is named
    #[arg(long, value_name = "NAME")]
    pub(crate) order: Option<String>,
    /// Days from now in which its devices may come in for the first time; fixed by the first manifest of the order
    #[arg(long, value_name = "N", default_value_t = 3650)]
    pub(crate) days: u32,
    /// How many may come in for the first time in one hour; 0 is as many as like; fixed like the days
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(crate) per_hour: u64,
    /// Print one JSON object on stdout
    #[arg(long)]
    pub(crate) json: bool,
}

/// `birthmark fleet export`
#[derive(Debug, Args)]
pub(crate) struct FleetExport {
    /// The file to write, one JSON object a line
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
    /// The cloud is AWS, or speaks nothing but its API: many calls instead of a few
    #[arg(long)]
    pub(crate) from_aws: bool,
    /// How to reach the cloud
    #[command(flatten)]
    pub(crate) api: Api,
    /// Print one JSON object on stdout
    #[arg(long)]
    pub(crate) json: bool,
}

/// `birthmark fleet import`
#[derive(Debug, Args)]
pub(crate) struct FleetImport {
    /// What `fleet export` wrote
    #[arg(
        value_name = "FILE",
        required_unless_present = "from_aws",
        conflicts_with = "from_aws"
    )]
    pub(crate) file: Option<PathBuf>,
    /// Read the fleet from another account through the API of AWS IoT Core, instead of from a file
    #[arg(long, requires_all = ["source_url", "source_ca_bundle", "source_credentials"])]
    pub(crate) from_aws: bool,
    /// That account's API, https://host:port
    #[arg(long, value_name = "URL")]
    pub(crate) source_url: Option<String>,
    /// CA that its server certificate ends in, PEM
    #[arg(long, value_name = "FILE")]
    pub(crate) source_ca_bundle: Option<PathBuf>,
    /// Access key of that account, in the AWS shared-credentials format
    #[arg(long, value_name = "FILE")]
    pub(crate) source_credentials: Option<PathBuf>,
    /// Profile in that file
    #[arg(long, default_value = "default", value_name = "NAME")]
    pub(crate) source_profile: String,
    /// Region of that account
    #[arg(long, default_value = "us-east-1", value_name = "NAME")]
    pub(crate) source_region: String,
    /// How to reach the cloud that takes it over
    #[command(flatten)]
    pub(crate) api: Api,
    /// Print one JSON object on stdout
    #[arg(long)]
    pub(crate) json: bool,
}

/// Reads a span of time as people write it: `30m`, `2h`, `7d`; in seconds.
fn span_seconds(text: &str) -> Result<u64, String> {
    let units = [('s', 1), ('m', 60), ('h', 3600), ('d', 86_400)];
    let span = units.iter().find_map(|(unit, seconds)| {
        let count: u64 = text.strip_suffix(*unit)?.parse().ok()?;
        count.checked_mul(*seconds)
    });
    span.ok_or_else(|| "a number and s, m, h or d is wanted, such as 2h".to_owned())
}

/// `birthmark fleet reprovision`
#[derive(Debug, Args)]
pub(crate) struct FleetReprovision {
    /// Id of the CA whose devices are played once more through its template
    #[arg(long, value_name = "ID", required_unless_present_any = ["certificate", "thing"])]
    pub(crate) ca: Option<String>,
    /// Only the device with this certificate; `birthmark explain` tells its id
    #[arg(long, value_name = "ID", conflicts_with_all = ["ca", "thing"])]
    pub(crate) certificate: Option<String>,
    /// Only the devices of this thing
    #[arg(long, value_name = "NAME", conflicts_with = "ca")]
    pub(crate) thing: Option<String>,
    /// Only devices that were registered so lately: 30m, 2h, 7d
    #[arg(long, value_name = "TIME", value_parser = span_seconds)]
    pub(crate) since: Option<u64>,
    /// Do it; without this it is only shown what would become of each device
    #[arg(long)]
    pub(crate) apply: bool,
    /// Also devices that are ACTIVE: their things and policies are brought to what the template says now
    #[arg(long)]
    pub(crate) active: bool,
    /// How to reach the cloud
    #[command(flatten)]
    pub(crate) api: Api,
    /// Print one JSON object a device on stdout
    #[arg(long)]
    pub(crate) json: bool,
}

/// `birthmark key …`
#[derive(Debug, Subcommand)]
pub(crate) enum Key {
    /// Show the keys of the account
    List(ManifestQuestion),
    /// Make a new key in the place of one; its secret is in its file on the server's machine
    Rotate(KeyNamed),
    /// Let a key count no more, at once and after every restart
    Disable(KeyNamed),
}

/// Which key.
#[derive(Debug, Args)]
pub(crate) struct KeyNamed {
    /// Its id
    #[arg(value_name = "ID")]
    pub(crate) id: String,
    /// How to reach the cloud
    #[command(flatten)]
    pub(crate) api: Api,
}
