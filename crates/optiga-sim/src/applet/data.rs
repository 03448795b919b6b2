//! GetDataObject and SetDataObject: content and metadata of objects.

use super::{Applet, Session, Worked, state, write_all};
use crate::code::Code;
use crate::memory::{Change, View};
use crate::metadata;
use crate::objects::{Kind, Object, life_cycle, oid};
use crate::timing;

const CONTENT: u8 = 0x00;
const METADATA: u8 = 0x01;
const ERASE_AND_WRITE: u8 = 0x40;

impl Applet {
    pub(super) fn read_object(&mut self, param: u8, data: &[u8], out: &mut Vec<u8>, now_us: u64) -> Worked {
        match (param, data) {
            (CONTENT, [a, b]) => self.read_content(u16::from_be_bytes([*a, *b]), 0, usize::MAX, out, now_us),
            (CONTENT, [a, b, c, d, e, f]) => {
                let offset = usize::from(u16::from_be_bytes([*c, *d]));
                let length = usize::from(u16::from_be_bytes([*e, *f]));
                self.read_content(u16::from_be_bytes([*a, *b]), offset, length, out, now_us)
            }
            (METADATA, [a, b]) => self.read_metadata(u16::from_be_bytes([*a, *b]), out),
            (CONTENT | METADATA, _) => Err(Code::InvalidLength),
            _ => Err(Code::InvalidParam),
        }
    }

    fn read_content(
        &mut self,
        oid: u16,
        offset: usize,
        length: usize,
        out: &mut Vec<u8>,
        now_us: u64,
    ) -> Worked {
        let object = self.object(oid)?;
        match object.kind {
            Kind::Session => return Err(Code::InvalidOid),
            Kind::Key => return Err(Code::AccessDenied),
            Kind::Fixed => self.settle_counter(now_us)?,
            _ => {}
        }
        self.permits(object, metadata::READ)?;
        let volatile;
        let content = match object.kind {
            Kind::Uid => &self.personality.uid[..],
            Kind::SecurityStatus | Kind::LastError => {
                volatile = [*self.volatile(oid).ok_or(Code::InvalidOid)?];
                &volatile
            }
            _ => self.memory.view(object).content,
        };
        let rest = content
            .get(offset..)
            .filter(|rest| !rest.is_empty())
            .ok_or(Code::OutOfBounds)?;
        let part = rest.get(..length).unwrap_or(rest);
        out.extend_from_slice(part);
        let read = part.len();
        if object.kind == Kind::LastError {
            self.last_error = 0;
        }
        Ok(timing::read_us(read))
    }

    /// A byte that is not kept over a reset.
    fn volatile(&mut self, oid: u16) -> Option<&mut u8> {
        match oid {
            oid::GLOBAL_SECURITY_STATUS => Some(&mut self.global_status),
            oid::APPLICATION_SECURITY_STATUS => Some(&mut self.application_status),
            oid::LAST_ERROR => Some(&mut self.last_error),
            _ => None,
        }
    }

    fn read_metadata(&mut self, oid: u16, out: &mut Vec<u8>) -> Worked {
        let object = self.object(oid)?;
        let (algorithm, usage) = match self.session(oid).and_then(|session| session.as_deref()) {
            Some(Session::Key { curve, usage, .. }) => (curve.to_wire(), *usage),
            _ => (0, 0),
        };
        let view = self.memory.view(object);
        let view = if object.kind == Kind::Session {
            View {
                algorithm,
                usage,
                ..view
            }
        } else {
            view
        };
        metadata::describe(object, &view, out);
        Ok(timing::METADATA_READ_US)
    }

    pub(super) fn write_object(&mut self, param: u8, data: &[u8]) -> Worked {
        if !matches!(param, CONTENT | METADATA | ERASE_AND_WRITE) {
            return Err(Code::InvalidParam);
        }
        let [a, b, c, d, bytes @ ..] = data else {
            return Err(Code::InvalidLength);
        };
        if bytes.is_empty() {
            return Err(Code::InvalidLength);
        }
        let object = self.object(u16::from_be_bytes([*a, *b]))?;
        let offset = u16::from_be_bytes([*c, *d]);
        if param == METADATA {
            let work_us = self.write_metadata(object, offset, bytes)?;
            self.counters.writes += 1;
            return Ok(work_us);
        }
        self.write_content(object, offset, param == ERASE_AND_WRITE, bytes)?;
        self.counters.writes += 1;
        Ok(timing::write_us(bytes.len()))
    }

    fn write_content(
        &mut self,
        object: &'static Object,
        offset: u16,
        clear: bool,
        bytes: &[u8],
    ) -> Result<(), Code> {
        match object.kind {
            Kind::Session => return Err(Code::InvalidOid),
            Kind::Key => return Err(Code::AccessDenied),
            _ => self.permits(object, metadata::CHANGE)?,
        }
        let anchor = matches!(object.oid, oid::TRUST_ANCHOR | oid::PLATFORM_ANCHOR);
        if anchor && !self.personality.settings.firmware.changes_anchors() {
            return Err(Code::AccessDenied);
        }
        if usize::from(offset) + bytes.len() > usize::from(object.bytes_max) {
            return Err(Code::OutOfBounds);
        }
        match (object.kind, bytes) {
            (Kind::Certificate | Kind::Data, _) => self.commit(&[Change::Bytes {
                oid: object.oid,
                offset,
                clear,
                bytes,
            }]),
            (Kind::LifeCycle, [value]) => self.advance_life(object.oid, *value),
            (Kind::SecurityStatus, [value]) => self.reset_status(object.oid, *value),
            (Kind::Setting { least, most }, [value]) if (least..=most).contains(value) => {
                self.commit(&[write_all(object.oid, bytes)])
            }
            (Kind::Setting { .. }, _) => Err(Code::InvalidField),
            _ => Err(Code::AccessDenied),
        }
    }

    /// Forward only; an application does not terminate.
    fn advance_life(&mut self, oid: u16, value: u8) -> Result<(), Code> {
        let known = match value {
            life_cycle::CREATION | life_cycle::INITIALIZATION | life_cycle::OPERATIONAL => true,
            life_cycle::TERMINATION => oid == oid::GLOBAL_LIFE_CYCLE,
            _ => false,
        };
        if !known {
            return Err(Code::InvalidField);
        }
        if value < self.memory.byte(oid) {
            return Err(Code::AccessDenied);
        }
        self.commit(&[write_all(oid, &[value])])
    }

    /// Bits can be cleared, never set.
    fn reset_status(&mut self, oid: u16, value: u8) -> Result<(), Code> {
        let status = self.volatile(oid).ok_or(Code::InvalidOid)?;
        if value & !*status != 0 {
            return Err(Code::AccessDenied);
        }
        *status = value;
        Ok(())
    }

    fn write_metadata(&mut self, object: &'static Object, offset: u16, container: &[u8]) -> Worked {
        if offset != 0 {
            return Err(Code::InvalidField);
        }
        let view = self.memory.view(object);
        let (algorithm, before) = (view.algorithm, view.conditions);
        let changed = metadata::change(object, &view, container)?;
        let state = state(object.oid, changed.life_cycle, algorithm, changed.usage);
        let conditions = Change::Conditions {
            oid: object.oid,
            conditions: &changed.conditions,
        };
        if changed.conditions == before {
            self.commit(&[state])?
        } else {
            self.commit(&[state, conditions])?
        }
        Ok(timing::write_us(container.len()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::applet::tests::{Bench, hex, unhex};
    use crate::personality::{Profile, Settings};

    #[test]
    fn objects_of_a_new_chip() {
        let mut bench = Bench::new();
        for (oid, content) in [
            ("E0C0", "07"),
            ("E0C1", "00"),
            ("E0C3", "14"),
            ("E0C4", "06"),
            ("E0C5", "00"),
            ("E0C6", "0615"),
            ("F1C0", "01"),
            ("F1C1", "00"),
            ("F1C2", "00"),
        ] {
            bench.ok(&format!("01 00 0002 {oid}"), content);
        }
        for empty in ["E0E1", "E0E3", "E0E8", "E0EF", "F1D0", "F1DF", "F1E0", "F1E1"] {
            bench.no(&format!("01 00 0002 {empty}"), Code::OutOfBounds);
        }
        for key in ["E0F0", "E0F1", "E0F3"] {
            bench.no(&format!("01 00 0006 {key} 0000 000A"), Code::AccessDenied);
            bench.no(&format!("02 00 0005 {key} 0000 00"), Code::AccessDenied);
        }
        for none in ["DEAD", "E100", "E0E4", "E120", "E140", "0083"] {
            bench.no(&format!("01 00 0006 {none} 0000 000A"), Code::InvalidOid);
            bench.no(&format!("02 00 0005 {none} 0000 00"), Code::InvalidOid);
        }
        for fixed in ["E0C2", "E0C5", "E0C6", "F1C2"] {
            bench.no(&format!("02 00 0005 {fixed} 0000 00"), Code::AccessDenied);
        }
    }

    #[test]
    fn metadata_of_a_new_chip() {
        let mut bench = Bench::new();
        for (oid, metadata) in [
            ("E0C2", "2009 C4011B D001FF D10100"),
            ("E0C0", "200F C00107 C40101 C50101 D00100 D10100"),
            ("E0E1", "2012 C00101 C40206C0 C50100 D003E1FC07 D10100"),
            ("E0E8", "2012 C00101 C4020400 C50100 D003E1FC07 D10100"),
            ("E0F1", "200B C00101 D003E1FC07 D30100"),
            ("E100", "2009 C00107 D001FF D30100"),
            ("F1C2", "200F C00107 C40101 C50101 D001FF D10100"),
            ("F1D0", "2011 C00101 C40164 C50100 D003E1FC07 D10100"),
            ("F1E0", "2012 C00101 C40205DC C50100 D003E1FC07 D10100"),
            ("E0F0", "200F C00107 D001FF D30100 E00103 E10111"),
        ] {
            bench.ok(&format!("01 01 0002 {oid}"), metadata);
        }
        bench.no("01 01 0002 E104", Code::InvalidOid);
        bench.no("01 01 0006 E0C2 0000 0001", Code::InvalidLength);
        bench.no("01 02 0002 E0C2", Code::InvalidParam);
    }

    #[test]
    fn reading_is_shortened_and_ends_where_the_object_ends() {
        let mut bench = Bench::new();
        bench.ok("02 40 0007 F1D0 0000 010203", "");
        bench.ok("01 00 0006 F1D0 0000 FFFF", "010203");
        bench.ok("01 00 0006 F1D0 0001 0001", "02");
        bench.ok("01 00 0006 F1D0 0002 0611", "03");
        bench.ok("01 00 0006 F1D0 0000 0000", "");
        bench.no("01 00 0006 F1D0 0003 0001", Code::OutOfBounds);
        bench.no("01 00 0005 F1D0 0000 00", Code::InvalidLength);
    }

    #[test]
    fn more_than_a_response_holds_is_refused() {
        let mut bench = Bench::new();
        for offset in [0_u16, 1000] {
            let mut write = unhex("02 00 0364 E0E1");
            write.extend_from_slice(&offset.to_be_bytes());
            write.resize(4 + 0x364, 7);
            assert_eq!(bench.command(&write)[0], if offset == 0 { 0 } else { 0xFF });
        }
        let mut write = unhex("02 00 0344 E0E1 0350");
        write.resize(4 + 0x344, 8);
        assert_eq!(bench.command(&write)[0], 0);
        bench.no("01 00 0006 E0E1 0000 FFFF", Code::InsufficientMemory);
        assert_eq!(bench.data("01 00 0006 E0E1 0000 0611").len(), 0x611);
        assert_eq!(bench.data("01 00 0006 E0E1 0611 FFFF").len(), 0x690 - 0x611);
    }

    #[test]
    fn writing_grows_erasing_shrinks_and_the_end_is_the_end() {
        let mut bench = Bench::new();
        // Seen on silicon: five bytes at offset ten.
        bench.ok("02 40 0009 E0E1 000A 0102030405", "");
        bench.ok("01 00 0002 E0E1", "00000000000000000000 0102030405");
        bench.ok("02 00 0005 E0E1 0000 FF", "");
        bench.ok("01 00 0002 E0E1", "FF000000000000000000 0102030405");
        bench.ok("02 40 0005 E0E1 0001 AA", "");
        bench.ok("01 00 0002 E0E1", "00AA");
        bench.ok("02 00 0005 F1D0 0063 01", "");
        bench.no("02 00 0005 F1D0 0064 01", Code::OutOfBounds);
        bench.no("02 00 0006 F1D0 0063 0102", Code::OutOfBounds);
        bench.no("02 02 0005 F1D0 0000 01", Code::InvalidParam);
        bench.no("02 00 0004 F1D0 0000", Code::InvalidLength);
        let whole = format!("02 40 0404 E0E8 0000 {}", "AB".repeat(1024));
        bench.ok(&whole, "");
        bench.no(
            &format!("02 40 0405 E0E8 0000 {}", "AB".repeat(1025)),
            Code::OutOfBounds,
        );
    }

    #[test]
    fn life_goes_forward_only() {
        let mut bench = Bench::new();
        bench.ok("02 00 0005 F1C0 0000 03", "");
        bench.ok("02 00 0005 F1C0 0000 07", "");
        bench.no("02 00 0005 F1C0 0000 03", Code::AccessDenied);
        bench.no("02 00 0005 F1C0 0000 0F", Code::InvalidField);
        bench.no("02 00 0005 F1C0 0000 05", Code::InvalidField);
        bench.no("02 00 0006 F1C0 0000 0707", Code::OutOfBounds);
        bench.no("02 00 0005 E0C0 0000 03", Code::AccessDenied);
        bench.ok("01 00 0002 F1C0", "07");
    }

    #[test]
    fn settings_have_ranges_and_security_status_only_loses_bits() {
        let mut bench = Bench::new();
        for (oid, good, bad) in [
            ("E0C3", ["14", "FF"], ["13", "00"]),
            ("E0C4", ["06", "0F"], ["05", "10"]),
        ] {
            for value in good {
                bench.ok(&format!("02 00 0005 {oid} 0000 {value}"), "");
                bench.ok(&format!("01 00 0002 {oid}"), value);
            }
            for value in bad {
                bench.no(&format!("02 00 0005 {oid} 0000 {value}"), Code::InvalidField);
            }
        }
        bench.no("02 00 0005 E0C1 0000 20", Code::AccessDenied);
        bench.ok("02 00 0005 E0C1 0000 00", "");
        bench.applet.application_status = 0x30;
        bench.ok("02 00 0005 F1C1 0000 10", "");
        bench.ok("01 00 0002 F1C1", "10");
    }

    #[test]
    fn an_object_that_is_operational_is_closed_for_good() {
        let mut bench = Bench::new();
        bench.ok("02 40 0005 F1D1 0000 01", "");
        bench.ok(
            "02 01 0007 F1D1 0000 20 03 D1 01 FF"
                .replace("0007", "0009")
                .as_str(),
            "",
        );
        bench.no("01 00 0002 F1D1", Code::AccessDenied);
        bench.ok("02 01 000C F1D1 0000 20 06 C0 01 07 D1 01 00", "");
        bench.ok("01 00 0002 F1D1", "01");
        bench.no("02 00 0005 F1D1 0000 02", Code::AccessDenied);
        bench.no("02 40 0005 F1D1 0000 02", Code::AccessDenied);
        bench.no("02 01 0009 F1D1 0000 20 03 D0 01 00", Code::AccessDenied);
        bench.no("02 01 0009 F1D1 0000 20 03 C0 01 01", Code::AccessDenied);
        bench.no("02 01 0009 F1D1 0001 20 03 C0 01 07", Code::InvalidField);
        bench.ok("01 01 0002 F1D1", "2011 C00107 C40164 C50101 D003E1FC07 D10100");
    }

    #[test]
    fn never_changing_data_can_still_be_opened_before_operation() {
        let mut bench = Bench::new();
        bench.ok("02 01 000C E0E1 0000 20 06 D0 01 FF D1 01 00", "");
        bench.no("02 00 0005 E0E1 0000 01", Code::AccessDenied);
        bench.ok("02 01 0009 E0E1 0000 20 03 D0 01 00", "");
        bench.ok("02 00 0005 E0E1 0000 01", "");
    }

    #[test]
    fn conditions_ask_for_the_state_of_device_and_application() {
        let mut bench = Bench::new();
        bench.ok("02 40 0005 F1D2 0000 01", "");
        // Read: application operational, or device before operational.
        bench.ok("02 01 000F F1D2 0000 20 09 D1 07 E0FA07 FE 70FC07", "");
        bench.no("01 00 0002 F1D2", Code::AccessDenied);
        bench.ok("02 00 0005 F1C0 0000 07", "");
        bench.ok("01 00 0002 F1D2", "01");
    }

    #[test]
    fn the_factory_certificate_is_there_and_stays_the_same() {
        for profile in [Profile::Production, Profile::Sample] {
            let mut bench = Bench::closed(Settings {
                profile,
                ..Settings::default()
            });
            bench.open();
            let certificate = bench.data("01 00 0002 E0E0");
            assert_eq!(hex(&certificate[..1]), "C0");
            assert_eq!(bench.data("01 00 0002 E0E0"), certificate);
            let writable = profile == Profile::Sample;
            for object in ["E0E0", "E0E8"] {
                let write = bench.command(&unhex(&format!("02 00 0005 {object} 0000 C0")));
                assert_eq!(
                    write[0] == 0,
                    writable || object == "E0E8",
                    "{object} {profile:?}"
                );
            }
            let generated = bench.command(&unhex("38 03 0009 01 0002 E0F0 02 0001 10"));
            assert_eq!(generated[0] == 0, writable, "{profile:?}");
        }
    }

    #[test]
    fn an_early_build_keeps_its_trust_anchors_and_derives_from_sessions_only() {
        use crate::personality::Firmware;
        for (firmware, refused) in [(Firmware::Build1118, None), (Firmware::Build1048, Some(()))] {
            let mut bench = Bench::closed(Settings {
                firmware,
                ..Settings::default()
            });
            bench.open();
            bench.ok("02 00 0014 F1D0 0000 9BBE436BA940F017B17652849A71DB35", "");
            let derive = "34 01 0018 01 0002 F1D0 02 0008 0102030405060708 03 0002 0010 07 0000";
            for anchor in ["E0E8", "E0EF"] {
                let write = format!("02 00 0005 {anchor} 0000 30");
                match refused {
                    None => bench.ok(&write, ""),
                    Some(()) => bench.no(&write, Code::AccessDenied),
                }
            }
            match refused {
                None => assert_eq!(bench.data(derive).len(), 16),
                Some(()) => bench.no(derive, Code::InvalidOid),
            }
        }
    }
}
