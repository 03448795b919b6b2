//! The same operations without a chip: software P-256, counted in instructions.
//!
//! Run in an emulator whose clock is its instruction counter, 25 MHz timer against 1 ns an instruction: a tick is 40
//! instructions. An instruction is not a cycle and says nothing of flash wait states: these are counts, not times.
#![no_std]
#![no_main]
#![deny(unsafe_code)]

use core::hint::black_box;
use core::panic::PanicInfo;

use cortex_m_rt::entry;
use cortex_m_semihosting::{debug, hprintln};
use firmware::clock::ticks_of;
use p256::ecdsa::signature::hazmat::{PrehashSigner, PrehashVerifier};
use p256::ecdsa::{Signature, SigningKey, VerifyingKey};
use p256::{PublicKey, SecretKey};

const INSTRUCTIONS_PER_TICK: u32 = 40;

#[entry]
fn start() -> ! {
    let digest = black_box([0x5A; 32]);
    let Ok(secret) = SecretKey::from_slice(&black_box([7; 32])) else {
        panic!("a key")
    };
    let key = SigningKey::from(&secret);
    let (mut public, mut signature) = (None::<PublicKey>, None::<Signature>);
    count("generate", || public = Some(black_box(&secret).public_key()));
    count("sign", || signature = key.sign_prehash(black_box(&digest)).ok());
    let (Some(public), Some(signature)) = (public, signature) else {
        panic!("a signature")
    };
    let verifying = VerifyingKey::from(public);
    let mut well = false;
    count("verify", || {
        well = verifying.verify_prehash(black_box(&digest), &signature).is_ok()
    });
    assert!(well, "the signature must hold");
    count("agree", || {
        black_box(p256::ecdh::diffie_hellman(
            secret.to_nonzero_scalar(),
            black_box(&public).as_affine(),
        ));
    });
    debug::exit(debug::EXIT_SUCCESS);
    loop {}
}

fn count(name: &str, work: impl FnOnce()) {
    hprintln!(
        "{} {}",
        name,
        u64::from(ticks_of(work)) * u64::from(INSTRUCTIONS_PER_TICK)
    );
}

#[panic_handler]
fn panic(panic: &PanicInfo<'_>) -> ! {
    hprintln!("{}", panic);
    debug::exit(debug::EXIT_FAILURE);
    loop {}
}
