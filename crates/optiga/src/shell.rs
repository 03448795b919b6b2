//! The shells, written once: what moves the frames of [`crate::engine`] over a bus, and one method per thing that one can
//! ask the chip for.
//!
//! The macro is invoked twice, for `embedded-hal` and for `embedded-hal-async`; `I2c` and `DelayNs` are the traits in scope
//! there. `$async` and `$await` are those two words, or nothing.
//!
//! Whole register accesses only: a read is two transactions with a STOP between (the chip knows no repeated start), and
//! after each transaction the chip gets its rest.

/// One driver.
macro_rules! shell {
    ($(#[$about:meta])* $driver:ident $(, $async:ident $await:ident)?) => {
        $(#[$about])*
        #[derive(Debug)]
        pub struct $driver<I2C, D> {
            i2c: I2C,
            delay: D,
            engine: Engine,
        }

        /// The bus.
        impl<I2C: I2c, D: DelayNs> $driver<I2C, D> {
            /// A driver that has not touched the bus yet; [`Self::open`] comes first.
            pub const fn new(i2c: I2C, delay: D, config: Config) -> Self {
                Self { i2c, delay, engine: Engine::new(config) }
            }

            /// Gives the bus and the delay back.
            pub fn release(self) -> (I2C, D) {
                (self.i2c, self.delay)
            }

            /// The bus, to look at or to set; whoever speaks to the chip through it puts the driver out of step.
            pub const fn bus_mut(&mut self) -> &mut I2C {
                &mut self.i2c
            }

            /// The sum of all delays so far: what the driver takes for time.
            pub const fn waited_us(&self) -> u64 {
                self.engine.now_us
            }

            /// The address at which the driver speaks to the chip.
            pub const fn address(&self) -> u8 {
                self.engine.address
            }

            $($async)? fn pause(&mut self, us: u32) {
                if us > 0 {
                    self.delay.delay_us(us)$(.$await)?;
                    self.engine.waited(us);
                }
            }

            $($async)? fn retry(
                &mut self,
                patience: &mut Patience,
                cause: I2C::Error,
            ) -> Result<(), Error<I2C::Error>> {
                match patience.judge(cause.kind()) {
                    Verdict::Again => self.pause(limits::ADDRESS_RETRY_US)$(.$await)?,
                    Verdict::Absent => {
                        let address = self.engine.address;
                        return Err(Error::Absent { address, cause });
                    }
                    Verdict::Broken => return Err(Error::Bus(cause)),
                }
                Ok(())
            }

            /// Writes `register ‖ bytes`, which is what `bytes` must already be.
            $($async)? fn write(&mut self, bytes: &[u8]) -> Result<(), Error<I2C::Error>> {
                let mut patience = Patience::default();
                while let Err(cause) = self.i2c.write(self.engine.address, bytes)$(.$await)? {
                    self.retry(&mut patience, cause)$(.$await)??;
                }
                self.pause(self.engine.config.guard_us)$(.$await)?;
                Ok(())
            }

            $($async)? fn read<const N: usize>(&mut self, register: u8) -> Result<[u8; N], Error<I2C::Error>> {
                self.write(&[register])$(.$await)??;
                let (mut patience, mut bytes) = (Patience::default(), [0; N]);
                while let Err(cause) = self.i2c.read(self.engine.address, &mut bytes)$(.$await)? {
                    self.retry(&mut patience, cause)$(.$await)??;
                }
                self.pause(self.engine.config.guard_us)$(.$await)?;
                Ok(bytes)
            }

            /// The state word of the bus interface.
            pub $($async)? fn state(&mut self) -> Result<State, Error<I2C::Error>> {
                let bytes = self.read(register::I2C_STATE)$(.$await)??;
                Ok(State::from_bytes(bytes))
            }

            $($async)? fn poll(&mut self) -> Result<(), Error<I2C::Error>> {
                let state = self.state()$(.$await)??;
                let Some(bytes) = self.engine.waiting(state).map(|frame| frame.len()) else {
                    self.engine.nothing();
                    return Ok(());
                };
                self.write(&[register::DATA])$(.$await)??;
                let mut patience = Patience::default();
                loop {
                    let address = self.engine.address;
                    let Some(frame) = self.engine.waiting(state) else { return Ok(()) };
                    match self.i2c.read(address, frame)$(.$await)? {
                        Ok(()) => break,
                        Err(cause) => self.retry(&mut patience, cause)$(.$await)??,
                    }
                }
                self.pause(self.engine.config.guard_us)$(.$await)?;
                self.engine.received(bytes);
                Ok(())
            }

            /// Drives the link until the command that was started has an answer; gives its length.
            $($async)? fn exchange(&mut self) -> Result<usize, Error<I2C::Error>> {
                loop {
                    match self.engine.next() {
                        Step::Write => self.write_frame()$(.$await)??,
                        Step::Poll { after_us } => {
                            self.pause(after_us)$(.$await)?;
                            self.poll()$(.$await)??;
                        }
                        Step::Done(bytes) => return Ok(bytes),
                        Step::Failed(error) => return Err(error.into()),
                    }
                }
            }

            /// Writes the frame that the engine has just made.
            $($async)? fn write_frame(&mut self) -> Result<(), Error<I2C::Error>> {
                let mut patience = Patience::default();
                while let Err(cause) = self
                    .i2c
                    .write(self.engine.address, self.engine.transfer())
                    $(.$await)?
                {
                    self.retry(&mut patience, cause)$(.$await)??;
                }
                self.pause(self.engine.config.guard_us)$(.$await)?;
                Ok(())
            }

            /// Sends a request and reads its answer.
            pub $($async)? fn call<R: Request>(
                &mut self,
                request: &R,
            ) -> Result<R::Answer<'_>, Error<I2C::Error>> {
                self.engine.start(request)?;
                let bytes = self.exchange()$(.$await)??;
                if self.engine.answer(bytes)? == Answer::Refused {
                    let code = self.last_error()$(.$await)??;
                    let (command, object) = (R::COMMAND, request.object());
                    return Err(Error::Refused { command, object, code });
                }
                match self.engine.answer(bytes)? {
                    Answer::Data(data) => Ok(request.parse(data)?),
                    Answer::Refused => Err(Malformed::Status.into()),
                }
            }

            /// Sends a command that this driver has no method for, header and all, and gives the answer as it came. What
            /// the chip refuses is an answer here, not an error.
            pub $($async)? fn send(&mut self, command: &[u8]) -> Result<&[u8], Error<I2C::Error>> {
                self.engine.start_raw(command)?;
                let bytes = self.exchange()$(.$await)??;
                Ok(self.engine.bytes(bytes))
            }

            /// Why the last command was refused. Reading clears it; the driver reads it after every refusal by itself.
            pub $($async)? fn last_error(&mut self) -> Result<ErrorCode, Error<I2C::Error>> {
                let [high, low] = ObjectId::LAST_ERROR.0.to_be_bytes();
                self.engine.start_raw(&[0x01, 0, 0, 2, high, low])?;
                let bytes = self.exchange()$(.$await)??;
                match self.engine.answer(bytes)? {
                    Answer::Data(&[code]) => Ok(ErrorCode(code)),
                    Answer::Data(_) => Err(Malformed::Length.into()),
                    Answer::Refused => Ok(ErrorCode::NONE),
                }
            }
        }

        /// First contact, and the bus interface.
        impl<I2C: I2c, D: DelayNs> $driver<I2C, D> {
            /// First contact: brings the link into step, agrees on the frame length and opens the application. May be
            /// called again at any time; session contexts in the chip are lost then.
            pub $($async)? fn open(&mut self) -> Result<(), Error<I2C::Error>> {
                if self.engine.config.start == Start::SoftReset {
                    self.soft_reset()$(.$await)??;
                }
                self.negotiate(self.engine.config.start)$(.$await)??;
                self.call(&request::Open)$(.$await)?
            }

            /// Comes back to a chip to which another driver, perhaps in another process, has spoken since: agrees on the
            /// frame length anew and lets the next command begin with a re-synchronisation. An application that is open
            /// stays open, and session contexts keep what they hold.
            pub $($async)? fn rejoin(&mut self) -> Result<(), Error<I2C::Error>> {
                self.negotiate(Start::Resync)$(.$await)?
            }

            $($async)? fn negotiate(&mut self, start: Start) -> Result<(), Error<I2C::Error>> {
                let wanted = self.engine.wanted_frame_bytes()?;
                let [high, low] = wanted.to_be_bytes();
                self.write(&[register::DATA_REG_LEN, high, low])$(.$await)??;
                let offered = u16::from_be_bytes(self.read(register::DATA_REG_LEN)$(.$await)??);
                if !self.engine.begin_link(offered, start) {
                    return Err(Error::Negotiation { wanted, offered });
                }
                Ok(())
            }

            /// Resets the chip over the bus, where it can. Everything volatile is lost; [`Self::open`] comes next.
            pub $($async)? fn soft_reset(&mut self) -> Result<(), Error<I2C::Error>> {
                if self.state()$(.$await)??.soft_reset() {
                    self.write(&[register::SOFT_RESET, 0, 0])$(.$await)??;
                    self.pause(register::STARTUP_US)$(.$await)?;
                    self.engine.begin_anew();
                }
                Ok(())
            }

            /// The fastest clock in kHz that the chip follows in its present mode.
            pub $($async)? fn bus_khz_max(&mut self) -> Result<u16, Error<I2C::Error>> {
                let [_, _, high, low] = self.read(register::MAX_SCL_FREQU)$(.$await)??;
                Ok(u16::from_be_bytes([high, low]))
            }

            /// Prepares the chip for a bus clock of `khz` (more than 400 is Fm+) and gives the fastest that it follows then,
            /// which may be less. Call it while the bus still runs at 400 kHz or less, and speed the bus up afterwards.
            /// The mode outlasts a reset.
            pub $($async)? fn prepare_speed(&mut self, khz: u16) -> Result<u16, Error<I2C::Error>> {
                if !limits::BUS_KHZ.contains(&khz) {
                    return Err(Misuse::Setting.into());
                }
                let mut follows = self.bus_khz_max()$(.$await)??;
                if (khz > register::FAST_MODE_KHZ) != (follows > register::FAST_MODE_KHZ) {
                    let [high, low] = register::mode(khz);
                    self.write(&[register::I2C_MODE, high, low])$(.$await)??;
                    follows = self.bus_khz_max()$(.$await)??;
                }
                Ok(follows)
            }

            /// Moves the chip to another address, for good or until the next reset, and makes sure that it answers there.
            /// After a move for good the next driver must be configured with the new address.
            pub $($async)? fn change_address(
                &mut self,
                address: u8,
                for_good: bool,
            ) -> Result<(), Error<I2C::Error>> {
                if !limits::ADDRESSES.contains(&address) {
                    return Err(Misuse::Address.into());
                }
                let high = if for_good { 0x80 } else { 0 };
                self.write(&[register::BASE_ADDR, high, address])$(.$await)??;
                self.engine.address = address;
                if for_good {
                    self.engine.config.address = address;
                }
                self.state()$(.$await)?.map(drop)
            }
        }

        /// Objects.
        impl<I2C: I2c, D: DelayNs> $driver<I2C, D> {
            /// The coprocessor UID.
            pub $($async)? fn read_uid(&mut self) -> Result<Uid, Error<I2C::Error>> {
                let request = request::Read { object: ObjectId::UID, offset: 0, bytes: 27 };
                let uid = self.call(&request)$(.$await)??;
                Ok(Uid(uid.try_into().map_err(|_| Malformed::Length)?))
            }

            /// Reads from `offset` until `buffer` is full or the object ends, and says how many bytes there were.
            pub $($async)? fn read_object(
                &mut self,
                object: ObjectId,
                offset: u16,
                buffer: &mut [u8],
            ) -> Result<usize, Error<I2C::Error>> {
                let mut filled = 0;
                while let Some(room) = buffer.get_mut(filled..).filter(|room| !room.is_empty()) {
                    let wanted = room.len().min(limits::ANSWER_DATA_BYTES_MAX);
                    let bytes = u16::try_from(wanted).unwrap_or(u16::MAX);
                    let request = request::Read { object, offset: offset_plus(offset, filled)?, bytes };
                    let got = match self.call(&request)$(.$await)? {
                        Ok(data) => data,
                        // Reading at or past the end is how the end is found.
                        Err(error) if error.refusal() == Some(ErrorCode::BOUNDARY) => break,
                        Err(error) => return Err(error),
                    };
                    room.get_mut(..got.len()).ok_or(Malformed::Length)?.copy_from_slice(got);
                    filled += got.len();
                    if got.len() < wanted {
                        break;
                    }
                }
                Ok(filled)
            }

            /// Writes `bytes` at `offset`. More than one command's worth is written in several: after a power cut in
            /// between the object holds a part.
            pub $($async)? fn write_object(
                &mut self,
                object: ObjectId,
                mode: WriteMode,
                offset: u16,
                bytes: &[u8],
            ) -> Result<(), Error<I2C::Error>> {
                let first = request::Write { object, mode, offset, head: &[], bytes };
                self.write_parts(first)$(.$await)?
            }

            /// Writes one certificate in the form that TLS stacks expect in a certificate object (TLS identity, nine bytes
            /// of head), head and certificate in the same command as far as they fit.
            pub $($async)? fn write_certificate(
                &mut self,
                object: ObjectId,
                der: &[u8],
            ) -> Result<(), Error<I2C::Error>> {
                let head = &identity_format::head(der.len()).map_err(|_| Misuse::TooLong)?;
                if der.len() + head.len() > limits::CERTIFICATE_OBJECT_BYTES_MAX {
                    return Err(Misuse::TooLong.into());
                }
                let (mode, offset) = (WriteMode::Replace, 0);
                let whole = request::Write { object, mode, offset, head, bytes: der };
                self.write_parts(whole)$(.$await)?
            }

            $($async)? fn write_parts(&mut self, whole: request::Write<'_>) -> Result<(), Error<I2C::Error>> {
                let request::Write { object, mode, offset, head, bytes } = whole;
                if head.is_empty() && bytes.is_empty() {
                    return Err(Misuse::Empty.into());
                }
                let first_bytes = bytes.len().min(limits::WRITE_DATA_BYTES_MAX - head.len());
                let (first, rest) = bytes.split_at_checked(first_bytes).unwrap_or((bytes, &[]));
                let request = request::Write { object, mode, offset, head, bytes: first };
                self.call(&request)$(.$await)??;
                let mut written = head.len() + first.len();
                for bytes in rest.chunks(limits::WRITE_DATA_BYTES_MAX) {
                    let (mode, offset) = (WriteMode::Update, offset_plus(offset, written)?);
                    let request = request::Write { object, mode, offset, head: &[], bytes };
                    self.call(&request)$(.$await)??;
                    written += bytes.len();
                }
                Ok(())
            }

            /// What the chip says about an object; always readable.
            pub $($async)? fn read_metadata(
                &mut self,
                object: ObjectId,
            ) -> Result<Metadata, Error<I2C::Error>> {
                self.call(&request::ReadMetadata(object))$(.$await)?
            }

            /// Changes what the chip says about an object: all of it or nothing. **Some changes can never be taken back.**
            pub $($async)? fn write_metadata(
                &mut self,
                object: ObjectId,
                change: &MetadataChange,
            ) -> Result<(), Error<I2C::Error>> {
                self.call(&request::WriteMetadata { object, change })$(.$await)?
            }

            $($async)? fn read_byte(&mut self, object: ObjectId) -> Result<u8, Error<I2C::Error>> {
                let request = request::Read { object, offset: 0, bytes: 1 };
                match self.call(&request)$(.$await)?? {
                    &[byte] => Ok(byte),
                    _ => Err(Malformed::Length.into()),
                }
            }

            $($async)? fn write_byte(&mut self, object: ObjectId, byte: u8) -> Result<(), Error<I2C::Error>> {
                let (mode, offset) = (WriteMode::Update, 0);
                let request = request::Write { object, mode, offset, head: &[], bytes: &[byte] };
                self.call(&request)$(.$await)?
            }

            /// The life cycle of the chip or of its application.
            pub $($async)? fn lifecycle(
                &mut self,
                of: LifecycleOf,
            ) -> Result<Lifecycle, Error<I2C::Error>> {
                let byte = self.read_byte(of.object())$(.$await)??;
                Lifecycle::from_byte(byte).ok_or_else(|| Malformed::Lifecycle.into())
            }

            /// Moves a life cycle forward. **It never goes back.**
            pub $($async)? fn advance_lifecycle(
                &mut self,
                of: LifecycleOf,
                to: Lifecycle,
            ) -> Result<(), Error<I2C::Error>> {
                self.write_byte(of.object(), to.byte())$(.$await)?
            }

            /// How many security events the chip remembers: uses of private keys that were not yet forgiven, one every
            /// five seconds. From 128 on the chip slows down.
            pub $($async)? fn security_events(&mut self) -> Result<u8, Error<I2C::Error>> {
                self.read_byte(ObjectId::SECURITY_EVENTS)$(.$await)?
            }

            /// Milliseconds without work after which the chip sleeps.
            pub $($async)? fn sleep_delay_ms(&mut self) -> Result<u8, Error<I2C::Error>> {
                self.read_byte(ObjectId::SLEEP_DELAY)$(.$await)?
            }

            /// Sets the milliseconds without work after which the chip sleeps: 20 to 255. It lasts.
            pub $($async)? fn set_sleep_delay_ms(&mut self, ms: u8) -> Result<(), Error<I2C::Error>> {
                if !limits::SLEEP_DELAY_MS.contains(&ms) {
                    return Err(Misuse::Setting.into());
                }
                self.write_byte(ObjectId::SLEEP_DELAY, ms)$(.$await)?
            }

            /// Milliamperes that the chip may draw.
            pub $($async)? fn current_limit_ma(&mut self) -> Result<u8, Error<I2C::Error>> {
                self.read_byte(ObjectId::CURRENT_LIMIT)$(.$await)?
            }

            /// Sets the milliamperes that the chip may draw: 6 to 15, more is faster. It lasts.
            pub $($async)? fn set_current_limit_ma(&mut self, ma: u8) -> Result<(), Error<I2C::Error>> {
                if !limits::CURRENT_LIMIT_MA.contains(&ma) {
                    return Err(Misuse::Setting.into());
                }
                self.write_byte(ObjectId::CURRENT_LIMIT, ma)$(.$await)?
            }

            /// The longest command and answer that the chip takes, in bytes.
            pub $($async)? fn buffer_bytes(&mut self) -> Result<u16, Error<I2C::Error>> {
                let request = request::Read { object: ObjectId::BUFFER_BYTES, offset: 0, bytes: 2 };
                match self.call(&request)$(.$await)?? {
                    &[high, low] => Ok(u16::from_be_bytes([high, low])),
                    _ => Err(Malformed::Length.into()),
                }
            }
        }

        /// Keys.
        impl<I2C: I2c, D: DelayNs> $driver<I2C, D> {
            /// Generates a key inside the chip, where it stays, and gives the public half. **Whatever key was there is
            /// gone.**
            pub $($async)? fn generate_key(
                &mut self,
                place: impl Into<KeyPlace>,
                curve: Curve,
                usage: KeyUsage,
            ) -> Result<PublicKeyBytes, Error<I2C::Error>> {
                let request = request::GenerateInto { place: place.into(), curve, usage };
                self.call(&request)$(.$await)?
            }

            /// Lets the chip make a key pair that leaves it; the chip forgets both.
            pub $($async)? fn generate_key_pair(
                &mut self,
                curve: Curve,
            ) -> Result<KeyPair, Error<I2C::Error>> {
                let pair = self.call(&request::GenerateOut(curve))$(.$await)?;
                self.engine.forget();
                pair
            }

            /// Signs a digest with ECDSA. The chip does not hash; a digest shorter than the curve is padded with zeros on
            /// the left.
            pub $($async)? fn sign_digest(
                &mut self,
                place: impl Into<KeyPlace>,
                digest: &[u8],
            ) -> Result<Signature, Error<I2C::Error>> {
                let request = request::Sign { place: place.into(), digest };
                self.call(&request)$(.$await)?
            }

            /// Lets the chip check a signature over a digest with a public key given here.
            pub $($async)? fn verify_digest(
                &mut self,
                key: &PublicKeyBytes,
                digest: &[u8],
                signature: &Signature,
            ) -> Result<(), Error<I2C::Error>> {
                let by = request::VerifyBy::Key(key);
                self.call(&request::Verify { by, digest, signature })$(.$await)?
            }

            /// Lets the chip check a signature over a digest with the key of the certificate in an object. The object must
            /// hold plain DER, as trust anchors do.
            pub $($async)? fn verify_digest_by(
                &mut self,
                certificate: ObjectId,
                digest: &[u8],
                signature: &Signature,
            ) -> Result<(), Error<I2C::Error>> {
                let by = request::VerifyBy::Certificate(certificate);
                self.call(&request::Verify { by, digest, signature })$(.$await)?
            }

            /// Agrees on a secret with the owner of `peer` (ECDH) and gives it out: the X coordinate.
            pub $($async)? fn agree(
                &mut self,
                place: impl Into<KeyPlace>,
                peer: &PublicKeyBytes,
            ) -> Result<Secret, Error<I2C::Error>> {
                let request = request::AgreeOut { place: place.into(), peer };
                let secret = self.call(&request)$(.$await)?;
                self.engine.forget();
                secret
            }

            /// Agrees on a secret with the owner of `peer` (ECDH) and leaves it in a session context. **Whatever was there
            /// is gone**, even the key that was used.
            pub $($async)? fn agree_into(
                &mut self,
                place: impl Into<KeyPlace>,
                peer: &PublicKeyBytes,
                session: SessionContext,
            ) -> Result<(), Error<I2C::Error>> {
                let request = request::AgreeInto { place: place.into(), peer, session };
                self.call(&request)$(.$await)?
            }

            /// Derives a key from a secret in the chip (PRF of TLS 1.2 with SHA-256 over `label ‖ seed`) and gives it out:
            /// as many bytes as `key` has. The secret is in a session context, or in a data object of up to 64 bytes.
            pub $($async)? fn derive(
                &mut self,
                secret: ObjectId,
                label: &[u8],
                seed: &[u8],
                key: &mut [u8],
            ) -> Result<(), Error<I2C::Error>> {
                let bytes = u16::try_from(key.len()).unwrap_or(u16::MAX);
                let request = request::DeriveOut { secret, label, seed, bytes };
                let derived = self
                    .call(&request)
                    $(.$await)?
                    .map(|derived| key.copy_from_slice(derived));
                self.engine.forget();
                derived
            }

            /// Derives a key as [`Self::derive`] does and leaves it in a session context.
            pub $($async)? fn derive_into(
                &mut self,
                secret: ObjectId,
                label: &[u8],
                seed: &[u8],
                bytes: u16,
                session: SessionContext,
            ) -> Result<(), Error<I2C::Error>> {
                let request = request::DeriveInto { secret, label, seed, bytes, session };
                self.call(&request)$(.$await)?
            }
        }

        /// Hashing, authentication, randomness.
        impl<I2C: I2c, D: DelayNs> $driver<I2C, D> {
            /// SHA-256 of a message, hashed by the chip in as many commands as it needs. About 5 kB/s: a check of the chip
            /// rather than a use for it.
            pub $($async)? fn hash(&mut self, message: &[u8]) -> Result<[u8; 32], Error<I2C::Error>> {
                let mut pieces = message.chunks(limits::HASH_PIECE_BYTES_MAX);
                let first = pieces.next().unwrap_or_default();
                // The chip takes no empty message in one command: it is begun and ended instead.
                let (one, empty) = (pieces.len() == 0, first.is_empty());
                let step = if one && !empty { HashStep::Whole } else { HashStep::Start };
                let mut hashed = self.hash_step(step, HashInput::Bytes(first))$(.$await)??;
                if empty {
                    hashed = self.hash_step(HashStep::Final, HashInput::Bytes(&[]))$(.$await)??;
                }
                while let Some(piece) = pieces.next() {
                    let last = pieces.len() == 0;
                    let step = if last { HashStep::Final } else { HashStep::Continue };
                    hashed = self.hash_step(step, HashInput::Bytes(piece))$(.$await)??;
                }
                hashed.digest.ok_or_else(|| Malformed::Secret.into())
            }

            /// SHA-256 of a part of an object that may be read.
            pub $($async)? fn hash_object(
                &mut self,
                object: ObjectId,
                offset: u16,
                bytes: u16,
            ) -> Result<[u8; 32], Error<I2C::Error>> {
                let input = HashInput::Object { object, offset, bytes };
                let hashed = self.hash_step(HashStep::Whole, input)$(.$await)??;
                hashed.digest.ok_or_else(|| Malformed::Secret.into())
            }

            /// One command of a hash whose state stays in the chip.
            pub $($async)? fn hash_step(
                &mut self,
                step: HashStep,
                input: HashInput<'_>,
            ) -> Result<Hashed, Error<I2C::Error>> {
                let request = request::Hash { step, input, import: None, export: false };
                self.call(&request)$(.$await)?
            }

            /// Begins a hash, or goes on with one, and gives its state out, so that the chip can do something else in
            /// between.
            pub $($async)? fn hash_part(
                &mut self,
                context: Option<&HashContext>,
                message: &[u8],
            ) -> Result<HashContext, Error<I2C::Error>> {
                let step = if context.is_some() { HashStep::Continue } else { HashStep::Start };
                let input = HashInput::Bytes(message);
                let request = request::Hash { step, input, import: context, export: true };
                let hashed = self.call(&request)$(.$await)??;
                hashed.context.ok_or_else(|| Malformed::Secret.into())
            }

            /// Ends a hash whose state was given out.
            pub $($async)? fn hash_end(
                &mut self,
                context: &HashContext,
                message: &[u8],
            ) -> Result<[u8; 32], Error<I2C::Error>> {
                let (step, input) = (HashStep::Final, HashInput::Bytes(message));
                let request = request::Hash { step, input, import: Some(context), export: false };
                let hashed = self.call(&request)$(.$await)??;
                hashed.digest.ok_or_else(|| Malformed::Secret.into())
            }

            /// Proves that the chip holds a P-256 key: its signature over SHA-256 of the challenge, which the chip hashes
            /// itself.
            pub $($async)? fn authenticate(
                &mut self,
                slot: KeySlot,
                challenge: &[u8],
            ) -> Result<Signature, Error<I2C::Error>> {
                self.choose_authentication(AuthenticationScheme::Ecdsa(slot))$(.$await)??;
                self.call(&request::GiveChallenge(challenge))$(.$await)??;
                self.call(&request::SignChallenge)$(.$await)?
            }

            /// Chooses how to authenticate, the first of the three steps of [`Self::authenticate`].
            pub $($async)? fn choose_authentication(
                &mut self,
                scheme: AuthenticationScheme,
            ) -> Result<(), Error<I2C::Error>> {
                self.call(&request::ChooseAuthentication(scheme))$(.$await)?
            }

            /// Fills `buffer` from the chip's true random number generator.
            pub $($async)? fn random(&mut self, buffer: &mut [u8]) -> Result<(), Error<I2C::Error>> {
                self.random_from(RandomSource::True, buffer)$(.$await)?
            }

            /// Fills `buffer` from one of the chip's random number generators.
            pub $($async)? fn random_from(
                &mut self,
                source: RandomSource,
                buffer: &mut [u8],
            ) -> Result<(), Error<I2C::Error>> {
                for chunk in buffer.chunks_mut(*limits::RANDOM_BYTES.end()) {
                    let wanted = chunk.len().max(*limits::RANDOM_BYTES.start());
                    let bytes = u16::try_from(wanted).unwrap_or(u16::MAX);
                    let data = self.call(&request::Random { source, bytes })$(.$await)??;
                    chunk.copy_from_slice(data.get(..chunk.len()).ok_or(Malformed::Length)?);
                }
                self.engine.forget();
                Ok(())
            }
        }
    };
}

pub(crate) use shell;

/// What the shells are made of.
pub(crate) mod prelude {
    pub(crate) use crate::apdu::Answer;
    pub(crate) use crate::config::{Config, Start};
    pub(crate) use crate::engine::{Engine, Patience, Step, Verdict, offset_plus};
    pub(crate) use crate::error::{Error, ErrorCode, Malformed, Misuse};
    pub(crate) use crate::metadata::{Metadata, MetadataChange};
    pub(crate) use crate::object::{
        Curve, KeyPlace, KeySlot, KeyUsage, Lifecycle, LifecycleOf, ObjectId, PublicKeyBytes, SessionContext,
        Uid,
    };
    pub(crate) use crate::register::{self, State};
    pub(crate) use crate::request::{
        self, AuthenticationScheme, HashContext, HashInput, HashStep, Hashed, RandomSource, Request,
        WriteMode,
    };
    pub(crate) use crate::secret::{KeyPair, Secret};
    pub(crate) use crate::signature::Signature;
    pub(crate) use crate::{identity_format, limits};
}
