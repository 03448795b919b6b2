//! The chip driver on a microcontroller: builds `firmware/` for a Cortex-M4F and tells how big the driver is.
//!
//! The compiler is rustup's where it has the platform's library; else Debian's, unpacked under `target/`, which builds the
//! core library from its own source. The stories run one of the images in an emulator, which comes the same way.

use std::fs;
use std::path::{Path, PathBuf};

use crate::console::Ending;
use crate::debian::{self, Unpacked};
use crate::failure::{Outcome, Trying};
use crate::process::{self, Run};

/// The platform.
const TARGET: &str = "thumbv7em-none-eabihf";

/// Debian's compiler of its own web browser, which is the newest that it has, and the source of its library.
const COMPILER: &[&str] = &["rustc-web", "cargo-web", "rust-web-src"];

/// The emulator; `xtask` leaves it where the stories look for tools.
const EMULATOR: &str = "qemu-system-arm";

/// Images whose size is told, as what, each beside the one that has only the bus.
const SIZES: &[(&str, &str)] = &[
    ("size-sign", "open, read the certificate, sign"),
    ("size-blocking", "every method, blocking"),
    ("size-async", "every method, asynchronous"),
];

/// A compiler for the platform.
enum Compiler {
    Rustup,
    Debian { unpacked: Unpacked, linker: PathBuf },
}

impl Compiler {
    fn find() -> Outcome<Result<Self, String>> {
        let sysroot = PathBuf::from(
            Run::new("rustc")
                .args(["--print", "sysroot"])
                .caught_well()?
                .trim(),
        );
        if sysroot.join("lib/rustlib").join(TARGET).exists() {
            return Ok(Ok(Self::Rustup));
        }
        let linker = sysroot
            .join("lib/rustlib")
            .join(process::host()?)
            .join("bin/rust-lld");
        if !linker.exists() {
            return Ok(Err(format!("there is no linker at {}", linker.display())));
        }
        let unpacked = Unpacked::of("rust-for-thumb", COMPILER)?;
        Ok(unpacked.map(|unpacked| Self::Debian { unpacked, linker }))
    }

    /// Its cargo, in `firmware/`.
    fn cargo(&self, command: &str) -> Run {
        let run = match self {
            Self::Rustup => Run::cargo().args([command]),
            Self::Debian { unpacked, linker } => Run::cargo_at(unpacked.program("cargo"))
                .args([command, "-Zbuild-std=core,alloc"])
                .env("LD_LIBRARY_PATH", unpacked.libraries())
                .env("RUSTC", unpacked.program("rustc"))
                .env("RUSTC_BOOTSTRAP", "1")
                .env("CARGO_TARGET_THUMBV7EM_NONE_EABIHF_LINKER", linker),
        };
        run.args(["--quiet", "--target", TARGET])
            .env("CARGO_TARGET_DIR", built())
            .dir(&process::root().join("firmware"))
    }
}

/// One step of `cargo xtask test`. Whatever keeps a machine from getting the compiler skips it; a build that fails is a failure.
pub(crate) fn check() -> Outcome<Ending> {
    let compiler = match Compiler::find()? {
        Ok(compiler) => compiler,
        Err(reason) => return Ok(Ending::Skipped(format!("rustup target add {TARGET} ({reason})"))),
    };
    let fetched = compiler.cargo("fetch").caught()?;
    if !fetched.success {
        let reason = debian::first_line(&fetched.stderr);
        return Ok(Ending::Skipped(format!("cargo fetch in firmware/ ({reason})")));
    }
    // Apart, so that the driver is not built with what other crates ask of their common dependencies.
    for what in ["--bins", "--examples"] {
        let build = compiler.cargo("build").args(["--release", what]);
        if build.shown()? != Ending::Passed {
            return Ok(Ending::Failed);
        }
    }
    print_sizes()?;
    match emulator()? {
        Ok(emulator) => print_instructions(&emulator)?,
        Err(reason) => println!("    no emulator: {reason}"),
    }
    Ok(Ending::Passed)
}

fn built() -> PathBuf {
    process::target().join("firmware")
}

fn image(name: &str) -> PathBuf {
    built().join(TARGET).join("release").join(name)
}

fn print_sizes() -> Outcome<()> {
    let bytes = |name: &str| -> Outcome<u64> {
        let path = image(name);
        let file = fs::read(&path).trying(|| format!("read {}", path.display()))?;
        Ok(flash_bytes(&file).unwrap_or(0))
    };
    let bus = bytes("size-none")?;
    println!("    the driver in flash, {TARGET}, opt-level s, linked:");
    for (name, what) in SIZES {
        println!("    {:>8} bytes  {what}", bytes(name)?.saturating_sub(bus));
    }
    Ok(())
}

/// Bytes that an ELF image of 32 bits keeps in flash: sections that are allocated and not blank (code, constants, start values).
fn flash_bytes(file: &[u8]) -> Option<u64> {
    const IN_MEMORY: u32 = 2;
    const BLANK: u32 = 8;
    let short = |at: usize| Some(u16::from_le_bytes(*file.get(at..)?.first_chunk()?));
    let word = |at: usize| Some(u32::from_le_bytes(*file.get(at..)?.first_chunk()?));
    let (table, entry, count) = (word(32)? as usize, short(46)? as usize, short(48)? as usize);
    let mut sum = 0;
    for index in 0..count {
        let section = table.checked_add(index.checked_mul(entry)?)?;
        let (kind, flags, size) = (word(section + 4)?, word(section + 8)?, word(section + 20)?);
        if flags & IN_MEMORY != 0 && kind != BLANK {
            sum += u64::from(size);
        }
    }
    file.starts_with(b"\x7fELF\x01\x01").then_some(sum)
}

/// The emulator as a program that stands alone.
fn emulator() -> Outcome<Result<PathBuf, String>> {
    let unpacked = match Unpacked::of(EMULATOR, &[EMULATOR])? {
        Ok(unpacked) => unpacked,
        Err(reason) => return Ok(Err(reason)),
    };
    let program = unpacked.folder().join("bin").join(EMULATOR);
    write_script(&unpacked, &program)?;
    let version = Run::new(&program).args(["--version"]).caught()?;
    Ok(if version.success {
        Ok(program)
    } else {
        Err(version.stderr)
    })
}

fn write_script(unpacked: &Unpacked, program: &Path) -> Outcome<()> {
    let script = format!(
        "#!/bin/sh\nLD_LIBRARY_PATH='{}' exec '{}' -L '{}' \"$@\"\n",
        unpacked.libraries(),
        unpacked.program(EMULATOR).display(),
        unpacked.folder().join("usr/share/qemu").display()
    );
    let what = || format!("write {}", program.display());
    let folder = program.parent().unwrap_or_else(|| Path::new("."));
    fs::create_dir_all(folder).trying(what)?;
    fs::write(program, script).trying(what)?;
    #[cfg(unix)]
    fs::set_permissions(program, std::os::unix::fs::PermissionsExt::from_mode(0o755)).trying(what)?;
    Ok(())
}

/// What software P-256 costs on the same processor, in instructions: the emulator counts nothing else.
fn print_instructions(emulator: &Path) -> Outcome<()> {
    let run = Run::new(emulator).args(["-M", "mps2-an386", "-display", "none", "-monitor", "none"]);
    let run = run.args([
        "-serial",
        "null",
        "-icount",
        "shift=0",
        "-semihosting-config",
        "enable=on,target=native",
    ]);
    let said = run.args(["-kernel"]).args([image("software")]).caught_well()?;
    println!("    instructions of software P-256 (crate p256), which are no times:");
    for line in said.lines() {
        println!("    {line}");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_lies_in_flash_is_counted_and_blank_memory_is_not() {
        let mut file = b"\x7fELF\x01\x01".to_vec();
        file.resize(52, 0);
        file[32] = 52;
        file[46] = 40;
        file[48] = 3;
        for (kind, flags, size) in [(1, 2, 100), (8, 2, 50), (1, 0, 7)] {
            let mut section = [0; 40];
            section[4] = kind;
            section[8] = flags;
            section[20] = size;
            file.extend(section);
        }
        assert_eq!(flash_bytes(&file), Some(100));
        assert_eq!(flash_bytes(&file[..60]), None);
        file[4] = 2;
        assert_eq!(flash_bytes(&file), None);
    }
}
