//! The CA hierarchy of a customer: a root, and under it the signer whose key the line uses. Both are made together.

use identity::{
    UnixMillis,
    certificate::Certificate,
    crypto::{self, SoftwareKey},
    issue::{Prepared, Profile, Serial, Signer as _, Validity, prepare},
    key::Curve,
    name::{AttributeKind, Name},
    request::ProvenKey,
};

use crate::{
    Error,
    ledger::{Intent, Purpose, Record},
    limits,
};

/// What a new factory is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// The customer whose devices are made; the organisation in the names of both CAs.
    pub customer: String,
    /// Whether its chips are simulated: both CAs and every device say so, for ever.
    pub simulated: bool,
    /// From when to when both CAs are valid.
    pub validity: Validity,
}

impl Plan {
    /// A factory with the usual validity: from a day before `now`, for [`limits::CA_YEARS`] years.
    pub fn new(customer: &str, simulated: bool, now: UnixMillis) -> Result<Self, Error> {
        let validity = Validity::new(now.plus_days(-1), now.plus_years(limits::CA_YEARS))?;
        let plan = Self {
            customer: customer.into(),
            simulated,
            validity,
        };
        let characters = plan.customer.chars().count();
        if (1..=limits::CUSTOMER_CHARACTERS_MAX).contains(&characters)
            && !plan.customer.chars().any(char::is_control)
        {
            Ok(plan)
        } else {
            Err(Error::Term {
                what: "the name of the customer",
                allowed: "1 to 64 printable characters",
            })
        }
    }

    fn name(&self, role: &str, mark: &str) -> Result<Name, Error> {
        let simulated = if self.simulated { " (SIMULATED)" } else { "" };
        let common_name = format!("{} {role} {mark}{simulated}", self.customer);
        let attributes = [
            (AttributeKind::Organization, self.customer.as_str()),
            (AttributeKind::CommonName, &common_name),
        ];
        Ok(Name::build(&attributes)?)
    }

    fn marked(&self, profile: Profile) -> Profile {
        if self.simulated {
            profile.simulated()
        } else {
            profile
        }
    }
}

/// A new hierarchy, and what the ledger has to say about it.
pub(crate) struct Hierarchy {
    pub(crate) root_key: SoftwareKey,
    pub(crate) root: Certificate,
    pub(crate) signer_key: SoftwareKey,
    pub(crate) signer: Certificate,
    pub(crate) records: Vec<Record>,
}

impl Hierarchy {
    /// Makes both keys and certifies them. Nothing of it is anywhere but in memory yet.
    pub(crate) fn make(plan: &Plan) -> Result<Self, Error> {
        let root_key = SoftwareKey::generate(Curve::P256)?;
        let signer_key = SoftwareKey::generate(Curve::P256)?;
        // Two factories of one customer must not have CAs of one name.
        let [a, b, c, d, ..] = signer_key.public_key().key_id();
        let mark = format!("{a:02X}{b:02X}{c:02X}{d:02X}");
        let (root_name, signer_name) = (plan.name("Root CA", &mark)?, plan.name("Signer CA", &mark)?);

        let profile = plan.marked(Profile::root(root_key.public_key(), &root_name, plan.validity));
        let prepared = prepare(&profile, root_key.prove(&root_name)?, &root_name, &serial(1)?)?;
        let mut records = vec![intent(&prepared, &root_key, serial(1)?)];
        let root = prepared.sign(&root_key)?;
        records.push(Record::Signed(root.clone()));

        let profile = plan.marked(Profile::signer_ca(&root, plan.validity)?);
        let prepared = prepare(
            &profile,
            signer_key.prove(&signer_name)?,
            &signer_name,
            &serial(2)?,
        )?;
        records.push(intent(&prepared, &signer_key, serial(2)?));
        let signer = prepared.sign(&root_key)?;
        records.push(Record::Signed(signer.clone()));
        Ok(Self {
            root_key,
            root,
            signer_key,
            signer,
            records,
        })
    }
}

/// The serial numbers of the two CAs are fixed: everybody's roots begin at one, and their names differ.
fn serial(number: u8) -> Result<Serial, Error> {
    Ok(Serial::new([
        0x40, 0, 0, 0, 0, 0, 0, number, 0, 0, 0, 0, 0, 0, 0, 0,
    ])?)
}

fn intent(prepared: &Prepared, key: &SoftwareKey, serial: Serial) -> Record {
    Record::Intent(Intent {
        serial,
        key_hash: crypto::sha256(key.public_key().spki_der()),
        purpose: Purpose::Authority,
        tbs: prepared.to_be_signed().into(),
    })
}

/// A verification certificate that is prepared, its key made for it alone.
pub(crate) struct Verification {
    pub(crate) prepared: Prepared,
    pub(crate) key_hash: [u8; 32],
}

impl Verification {
    /// Prepares it. The private key lives as long as this function: nothing but its own request is ever signed with it.
    pub(crate) fn prepare(
        signer: &Certificate,
        code: &str,
        serial: &Serial,
        now: UnixMillis,
    ) -> Result<Self, Error> {
        let subject = Name::with_common_name(code)?;
        let profile = Profile::verification(signer, Validity::days(now, limits::VERIFICATION_DAYS)?)?;
        let proven: ProvenKey = SoftwareKey::generate(Curve::P256)?.prove(&subject)?;
        let key_hash = crypto::sha256(proven.public_key().spki_der());
        let prepared = prepare(&profile, proven, &subject, serial)?;
        Ok(Self { prepared, key_hash })
    }
}
