//! How big the chip driver is on a microcontroller: the sketch of `crates/optiga/examples` built for a Cortex-M4F.
//!
//! The sketch is built by a package of its own under `target/`, since the dev-dependencies of the driver need `std`.

use std::fs;
use std::path::PathBuf;

use crate::console::Ending;
use crate::failure::{Outcome, Trying};
use crate::process::{self, Run, which};

/// The platform.
pub(crate) const TARGET: &str = "thumbv7em-none-eabihf";

/// Programs that tell the sizes of sections, the first that is there is taken.
const SIZE_TOOLS: &[&str] = &["llvm-size", "rust-size", "arm-none-eabi-size", "size"];

/// What is missing, if the compiler has no library for the platform: the command that adds it.
pub(crate) fn missing() -> Outcome<Option<String>> {
    let sysroot = Run::new("rustc").args(["--print", "sysroot"]).caught_well()?;
    let library = PathBuf::from(sysroot.trim()).join("lib/rustlib").join(TARGET);
    Ok((!library.exists()).then(|| format!("rustup target add {TARGET}")))
}

/// Builds the sketch and prints how many bytes of code it has, driver and bus included.
pub(crate) fn code_size() -> Outcome<Ending> {
    if let Some(command) = missing()? {
        return Ok(Ending::Skipped(command));
    }
    let folder = package()?;
    let built = Run::cargo()
        .args(["build", "--release", "--target", TARGET])
        .env("CARGO_TARGET_DIR", folder.join("target"))
        .dir(&folder)
        .shown()?;
    if built == Ending::Passed {
        print_sizes(&folder)?;
    }
    Ok(built)
}

fn package() -> Outcome<PathBuf> {
    let folder = process::target().join("thumb");
    fs::create_dir_all(&folder).trying(|| format!("create {}", folder.display()))?;
    let driver = process::root().join("crates/optiga");
    let manifest = format!(
        "[package]\nname = \"sketch\"\nversion = \"0.0.0\"\nedition = \"2024\"\n\n[workspace]\n\n[lib]\npath = {:?}\n\n\
         [dependencies]\noptiga = {{ path = {:?} }}\nembedded-hal = \"1\"\n\n\
         [profile.release]\nopt-level = \"s\"\ncodegen-units = 1\npanic = \"abort\"\n",
        driver.join("examples/microcontroller.rs"),
        driver
    );
    let file = folder.join("Cargo.toml");
    fs::write(&file, manifest).trying(|| format!("write {}", file.display()))?;
    Ok(folder)
}

fn print_sizes(folder: &std::path::Path) -> Outcome<()> {
    let Some(tool) = SIZE_TOOLS.iter().find(|tool| which(tool).is_some()) else {
        println!(
            "    built; none of {} is here to tell its size",
            SIZE_TOOLS.join(", ")
        );
        return Ok(());
    };
    let release = folder.join("target").join(TARGET).join("release");
    let deps = release.join("deps");
    let listing = fs::read_dir(&deps).trying(|| format!("read {}", deps.display()))?;
    let mut sum = 0;
    for entry in listing.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let ours = ["liboptiga-", "libsketch-"]
            .iter()
            .any(|start| name.starts_with(start));
        if ours && name.ends_with(".rlib") {
            sum += text_bytes(&Run::new(tool).args([entry.path()]).caught_well()?);
        }
    }
    println!(
        "    driver and sketch: {sum} bytes of code for {TARGET}, opt-level s, before the linker drops what is unused"
    );
    Ok(())
}

/// The sum of the first column of Berkeley-style sizes.
fn text_bytes(listing: &str) -> u64 {
    let first = |line: &str| line.split_whitespace().next()?.parse::<u64>().ok();
    listing.lines().filter_map(first).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn code_is_the_first_column() {
        let listing = "   text\t   data\t    bss\t    dec\t    hex\tfilename\n  100\t 0\t 0\t 100\t 64\ta.o (ex lib.rlib)\n   23 0 0 23 17 b.o\n";
        assert_eq!(text_bytes(listing), 123);
        assert_eq!(text_bytes("no such file"), 0);
    }

    #[test]
    fn what_is_missing_is_named_with_the_command_that_adds_it() {
        match missing() {
            Ok(Some(command)) => assert_eq!(command, format!("rustup target add {TARGET}")),
            Ok(None) => {}
            Err(_) => panic!("rustc must tell its sysroot"),
        }
    }
}
