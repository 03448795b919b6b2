//! `birthmark chip inspect`: what a chip says of itself: UID, firmware, life cycles, each object with its access conditions,
//! and the certificates in it. It reads and never writes; it does not read the last error, since that clears it.

use embedded_hal::{delay::DelayNs, i2c::I2c};
use identity::certificate::Certificate;
use optiga::{LifecycleOf, Metadata, ObjectId, Optiga, Uid, identity_format::Certificates, limits};
use serde_json::{Value, json};

use super::{
    chip_apdu::{
        build_name, curve_name, hexadecimal, lifecycle_name, metadata_words, object_name, usage_words,
    },
    chip_bus,
};
use crate::{
    args::ChipAddress,
    exit::{Context, DONE, Failure},
    words::{say, tell},
};

/// What is found in a chip.
struct Findings {
    uid: Uid,
    chip: &'static str,
    application: &'static str,
    security_events: u8,
    objects: Vec<Found>,
}

/// What is found of one object.
struct Found {
    object: ObjectId,
    metadata: Option<Metadata>,
    bytes: usize,
    certificates: Vec<Result<Certificate, String>>,
}

type Fault<I> = optiga::Error<<I as embedded_hal::i2c::ErrorType>::Error>;

/// Reads a chip and tells what it says.
pub(crate) fn run(typed: &ChipAddress) -> Result<u8, Failure> {
    let mut chip = chip_bus::driver(&typed.chip)?;
    let found = findings(&mut chip).fault(|| format!("the chip at {} did not answer", typed.chip))?;
    if typed.json {
        tell(&as_json(&found).to_string()).fault(|| "could not write to stdout".to_owned())?;
    } else {
        for_people(&found);
    }
    Ok(DONE)
}

fn findings<I: I2c, D: DelayNs>(chip: &mut Optiga<I, D>) -> Result<Findings, Fault<I>> {
    chip.open()?;
    Ok(Findings {
        uid: chip.read_uid()?,
        chip: lifecycle_name(chip.lifecycle(LifecycleOf::Chip)?),
        application: lifecycle_name(chip.lifecycle(LifecycleOf::Application)?),
        security_events: chip.security_events()?,
        objects: ObjectId::all()
            .filter(|object| *object != ObjectId::LAST_ERROR)
            .map(|object| look(chip, object))
            .collect::<Result<_, _>>()?,
    })
}

fn look<I: I2c, D: DelayNs>(chip: &mut Optiga<I, D>, object: ObjectId) -> Result<Found, Fault<I>> {
    let metadata = refusable(chip.read_metadata(object))?;
    let mut content = [0; limits::CERTIFICATE_OBJECT_BYTES_MAX];
    // What is empty or may not be read has no bytes to tell.
    let bytes = refusable(chip.read_object(object, 0, &mut content))?.unwrap_or(0);
    let content = content.get(..bytes).unwrap_or_default();
    let holds_certificates = matches!(object.0, 0xE0E0..=0xE0EF);
    Ok(Found {
        object,
        metadata,
        bytes,
        certificates: if holds_certificates {
            certificates(content)
        } else {
            Vec::new()
        },
    })
}

/// A refusal of the chip says nothing more than "not this one".
fn refusable<T, E>(result: Result<T, optiga::Error<E>>) -> Result<Option<T>, optiga::Error<E>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.refusal().is_some() => Ok(None),
        Err(error) => Err(error),
    }
}

fn certificates(content: &[u8]) -> Vec<Result<Certificate, String>> {
    match Certificates::parse(content) {
        Ok(list) => list
            .map(|der| Certificate::parse(der).map_err(|error| error.to_string()))
            .collect(),
        Err(error) => vec![Err(format!("no certificate: {error:?}"))],
    }
}

fn as_json(found: &Findings) -> Value {
    let objects: Vec<Value> = found.objects.iter().map(object_json).collect();
    json!({
        "uid": hexadecimal(&found.uid.0),
        "firmware_build": format!("{:04X}", found.uid.firmware_build()),
        "product_version": build_name(&found.uid),
        "chip_lifecycle": found.chip,
        "application_lifecycle": found.application,
        "security_events": found.security_events,
        "objects": objects,
    })
}

fn object_json(found: &Found) -> Value {
    let metadata = found.metadata.unwrap_or_default();
    let access = |access: Option<optiga::Access>| access.map(|access| access.to_string());
    let certificates: Vec<Value> = found.certificates.iter().map(certificate_json).collect();
    json!({
        "object": format!("{:04X}", found.object.0),
        "name": object_name(found.object),
        "bytes": found.bytes,
        "bytes_max": metadata.max_bytes,
        "lifecycle": metadata.lifecycle.map_or("fixed", lifecycle_name),
        "change": access(metadata.change),
        "read": access(metadata.read),
        "execute": access(metadata.execute),
        "curve": metadata.algorithm.map(|curve| curve_name(curve.identifier())),
        "usage": metadata.usage.map(usage_words),
        "certificates": certificates,
    })
}

fn certificate_json(certificate: &Result<Certificate, String>) -> Value {
    match certificate {
        Ok(certificate) => json!({
            "fingerprint": certificate.id().to_string(),
            "subject": certificate.subject().to_string(),
            "issuer": certificate.issuer().to_string(),
            "not_before": certificate.not_before().to_rfc3339(),
            "not_after": certificate.not_after().to_rfc3339(),
            "simulated": certificate.is_simulated(),
        }),
        Err(why) => json!({ "problem": why }),
    }
}

fn for_people(found: &Findings) {
    let build = build_name(&found.uid).map_or_else(
        || "a build that no document names".to_owned(),
        |version| format!("product version {version}"),
    );
    say(&format!("UID {}", hexadecimal(&found.uid.0)));
    say(&format!(
        "firmware build {:04X}, {build}",
        found.uid.firmware_build()
    ));
    say(&format!(
        "chip {}, application {}, {} security events",
        found.chip, found.application, found.security_events
    ));
    for object in &found.objects {
        let words = object.metadata.as_ref().map(metadata_words).unwrap_or_default();
        let name = object_name(object.object);
        say(&format!(
            "{:04X}  {name:<28} {:>5} bytes  {}",
            object.object.0,
            object.bytes,
            words.join(", ")
        ));
        for certificate in &object.certificates {
            say(&format!("      {}", certificate_words(certificate)));
        }
    }
}

fn certificate_words(certificate: &Result<Certificate, String>) -> String {
    match certificate {
        Ok(certificate) => {
            let subject = certificate.subject().to_string();
            let subject = if subject.is_empty() {
                "(no subject)"
            } else {
                &subject
            };
            format!(
                "{subject}, issued by {}, until {}, sha256 {}",
                certificate.issuer(),
                certificate.not_after().to_rfc3339(),
                certificate.id()
            )
        }
        Err(why) => why.clone(),
    }
}

#[cfg(test)]
mod tests {
    use optiga::Config;
    use optiga_sim::{Settings, Tray};

    use super::*;

    #[test]
    fn a_new_chip_tells_its_objects_and_who_may_change_them() {
        let tray = Tray::memory_with(1, 7, Settings::default()).unwrap();
        let bus = tray.bus(0).unwrap();
        let client = bus.client();
        let delay = client.delay();
        let mut chip = Optiga::new(client, delay, Config::default());
        let found = findings(&mut chip).unwrap();
        let json = as_json(&found);
        assert_eq!(json["chip_lifecycle"], "operational");
        let of = |id: &str| {
            let objects = json["objects"].as_array().unwrap();
            objects
                .iter()
                .find(|object| object["object"] == id)
                .unwrap()
                .clone()
        };
        assert_eq!(of("E0E1")["change"], "LcsO<op");
        assert_eq!(of("E0E1")["bytes_max"], 1728);
        assert_eq!(of("E0F0")["execute"], "ALW");
        let factory = of("E0E0")["certificates"][0].clone();
        assert_eq!(factory["simulated"], true);
        assert!(
            factory["not_after"].as_str().unwrap().starts_with("20"),
            "{factory}"
        );
    }
}
