//! The command line.

use std::path::PathBuf;
use std::process::ExitCode;

use crm_worker::config::{self, Settings};
use crm_worker::{log, work};

const USAGE: &str = "\
crm-worker: delivers webhooks and e-mail for crm_ext, fetches identity providers' keys, exchanges
sign-in codes, and keeps the database in order.

usage: crm-worker [--config FILE] [--check]

  --config FILE   settings in TOML (or CRM_WORKER_CONFIG); the environment overrides them
  --check         say whether the settings are good, and end
  --version       say which version this is
  --help          this

Settings, in the environment as CRM_WORKER_<NAME>, in the file by their name in lower case:
";

/// What the command line asks for.
enum Call {
    Run { file: Option<PathBuf>, check: bool },
    Version,
    Help,
}

fn main() -> ExitCode {
    let call = match parse(std::env::args().skip(1)) {
        Ok(call) => call,
        Err(problem) => {
            eprintln!("error: {problem}; see crm-worker --help");
            return ExitCode::from(2);
        }
    };
    match call {
        Call::Help => print!("{USAGE}{}", config::help()),
        Call::Version => println!("crm-worker {}", env!("CARGO_PKG_VERSION")),
        Call::Run { file, check } => return start(file, check),
    }
    ExitCode::SUCCESS
}

fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Call, String> {
    let (mut file, mut check) = (None, false);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--help" | "-h" => return Ok(Call::Help),
            "--version" | "-V" => return Ok(Call::Version),
            "--check" => check = true,
            "--config" => file = Some(arguments.next().ok_or("--config needs the name of a file")?.into()),
            other => match other.strip_prefix("--config=") {
                Some(name) => file = Some(name.into()),
                None => return Err(format!("{other} is not an option")),
            },
        }
    }
    Ok(Call::Run { file, check })
}

fn start(file: Option<PathBuf>, check: bool) -> ExitCode {
    let settings = match Settings::load(file, std::env::vars_os()) {
        Ok(settings) => settings,
        Err(problems) => {
            eprint!("{problems}");
            return ExitCode::from(2);
        }
    };
    if let Err(problem) = work::check(&settings) {
        eprintln!("error: {problem}");
        return ExitCode::from(2);
    }
    if check {
        println!("the settings are good");
        return ExitCode::SUCCESS;
    }
    log::begin(&settings.log);
    match work::run(settings) {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            eprintln!("error: {problem}");
            ExitCode::FAILURE
        }
    }
}
