//! embedded-hal's list of operations, brought down to what the bus carries: a write, a read, or a write and then a read.
//!
//! Neighbours of one kind are one run without a START between them (embedded-hal, `I2c::transaction`). More than one change
//! of direction has no VI2C request and is refused.

use embedded_hal::i2c::Operation;

use crate::Error;

/// The three transactions that every client of the bus has.
pub(crate) trait Transact {
    fn send(&mut self, address: u8, bytes: &[u8]) -> Result<(), Error>;
    fn fetch(&mut self, address: u8, buffer: &mut [u8]) -> Result<(), Error>;
    fn exchange(&mut self, address: u8, bytes: &[u8], buffer: &mut [u8]) -> Result<(), Error>;
}

pub(crate) fn run(
    bus: &mut impl Transact,
    address: u8,
    operations: &mut [Operation<'_>],
) -> Result<(), Error> {
    match operations {
        [] => Ok(()),
        [Operation::Write(bytes)] => bus.send(address, bytes),
        [Operation::Read(buffer)] => bus.fetch(address, buffer),
        [Operation::Write(bytes), Operation::Read(buffer)] => bus.exchange(address, bytes, buffer),
        _ => run_gathered(bus, address, operations),
    }
}

fn run_gathered(bus: &mut impl Transact, address: u8, operations: &mut [Operation<'_>]) -> Result<(), Error> {
    let turn = operations
        .iter()
        .position(|operation| matches!(operation, Operation::Read(_)));
    let (writes, reads) = operations.split_at_mut(turn.unwrap_or(operations.len()));
    let mut bytes = Vec::new();
    for operation in writes.iter() {
        if let Operation::Write(part) = operation {
            bytes.extend_from_slice(part);
        }
    }
    let mut buffer = vec![0; read_length(reads)?];
    match (writes.is_empty(), reads.is_empty()) {
        (false, true) => bus.send(address, &bytes)?,
        (true, _) => bus.fetch(address, &mut buffer)?,
        (false, false) => bus.exchange(address, &bytes, &mut buffer)?,
    }
    scatter(&buffer, reads);
    Ok(())
}

fn read_length(reads: &[Operation<'_>]) -> Result<usize, Error> {
    reads.iter().try_fold(0, |sum, operation| match operation {
        Operation::Read(buffer) => Ok(sum + buffer.len()),
        Operation::Write(_) => Err(Error::Shape),
    })
}

fn scatter(mut bytes: &[u8], reads: &mut [Operation<'_>]) {
    for operation in reads {
        if let Operation::Read(buffer) = operation
            && let Some((part, rest)) = bytes.split_at_checked(buffer.len())
        {
            buffer.copy_from_slice(part);
            bytes = rest;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Remembers what it was asked for; reads count up.
    #[derive(Default)]
    struct Memo(Vec<String>);

    impl Transact for Memo {
        fn send(&mut self, _: u8, bytes: &[u8]) -> Result<(), Error> {
            self.0.push(format!("W{bytes:?}"));
            Ok(())
        }

        fn fetch(&mut self, _: u8, buffer: &mut [u8]) -> Result<(), Error> {
            buffer.iter_mut().zip(1..).for_each(|(byte, count)| *byte = count);
            self.0.push(format!("R{}", buffer.len()));
            Ok(())
        }

        fn exchange(&mut self, address: u8, bytes: &[u8], buffer: &mut [u8]) -> Result<(), Error> {
            self.0.push("S".into());
            self.send(address, bytes)?;
            self.fetch(address, buffer)
        }
    }

    fn check(operations: &mut [Operation<'_>], expected: Result<&[&str], Error>) {
        let mut memo = Memo::default();
        let outcome = run(&mut memo, 0x30, operations);
        assert_eq!(
            outcome.map(|()| memo.0),
            expected.map(|log| log.iter().map(ToString::to_string).collect())
        );
    }

    #[test]
    fn neighbours_of_one_kind_are_one_transaction() {
        use Operation::{Read, Write};
        check(&mut [], Ok(&[]));
        check(&mut [Write(&[1]), Write(&[2, 3])], Ok(&["W[1, 2, 3]"]));
        check(&mut [Write(&[1]), Read(&mut [0; 2])], Ok(&["S", "W[1]", "R2"]));
        check(
            &mut [Write(&[1]), Write(&[2]), Read(&mut [0; 2])],
            Ok(&["S", "W[1, 2]", "R2"]),
        );
        check(&mut [Read(&mut [0; 2]), Write(&[1])], Err(Error::Shape));
        check(&mut [Write(&[1]), Read(&mut [0]), Write(&[1])], Err(Error::Shape));

        let (mut first, mut second) = ([0; 2], [0; 1]);
        check(&mut [Read(&mut first), Read(&mut second)], Ok(&["R3"]));
        assert_eq!((first, second), ([1, 2], [3]));
    }
}
