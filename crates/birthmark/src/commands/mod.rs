//! One file per subcommand, each only wiring: what was typed → a plan → run.

mod check;
mod chip;
mod chip_apdu;
mod chip_bus;
mod chip_decode;
mod chip_doctor;
mod chip_inspect;
mod chip_personalize;
mod chip_record;
pub(crate) mod chip_serve;
mod chip_trace;
mod configuration;
mod demo;
mod device;
mod device_attempts;
mod device_token;
mod enrolment;
mod explain;
mod factory;
mod fleet_manifest;
mod fleet_moving;
mod fleet_source;
mod key;
mod registration;
mod serve;
mod settled;
mod token;
mod token_callers;
mod token_doctor;
mod token_seal;

use crate::{
    args::{Chip, Command, Device, Factory, Fleet, Token},
    exit::Failure,
};

/// Runs a subcommand and gives the exit code.
pub(crate) fn run(command: Command) -> Result<u8, Failure> {
    match command {
        Command::Demo(typed) => demo::run(&typed),
        Command::Serve(typed) => serve::run(&typed),
        Command::Factory(Factory::Init(typed)) => factory::init(&typed),
        Command::Factory(Factory::Run(typed)) => factory::run(&typed),
        Command::Factory(Factory::Status(typed)) => factory::status(&typed),
        Command::Factory(Factory::Verify(typed)) => factory::verify(&typed),
        Command::Factory(Factory::Manifest(typed)) => fleet_manifest::of_factory(&typed),
        Command::Fleet(Fleet::Export(typed)) => fleet_moving::export(&typed),
        Command::Fleet(Fleet::Import(typed)) => fleet_moving::import(&typed),
        Command::Fleet(Fleet::Reprovision(typed)) => fleet_moving::reprovision(&typed),
        Command::Fleet(Fleet::Manifest(typed)) => fleet_manifest::run(&typed),
        Command::Factory(Factory::RegisterCa(typed)) => factory::register_ca(&typed),
        Command::Chip(Chip::Serve(typed)) => chip::serve(&typed),
        Command::Chip(Chip::Inspect(typed)) => chip_inspect::run(&typed),
        Command::Chip(Chip::Trace(typed)) => chip_trace::run(&typed),
        Command::Chip(Chip::Doctor(typed)) => chip_doctor::run(&typed),
        Command::Chip(Chip::Personalize(typed)) => chip_personalize::run(&typed),
        Command::Token(Token::Init(typed)) => token::init(&typed),
        Command::Token(Token::List(typed)) => token::list(&typed),
        Command::Token(Token::Doctor(typed)) => token_doctor::run(&typed),
        Command::Token(Token::Seal(typed)) => token_seal::seal(&typed),
        Command::Device(Device::Enroll(typed)) => device::enroll(&typed),
        Command::Device(Device::Run(typed)) => device::run(&typed),
        Command::Key(typed) => key::run(&typed),
        Command::Explain(typed) => explain::run(&typed),
        Command::Check(typed) => check::run(&typed),
    }
}
