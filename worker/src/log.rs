//! Structured logs, on the error output. Only what the worker says itself is let through: what the libraries say of requests
//! and statements could show a token or the query of a URL.

use std::io::{IsTerminal, stderr};

use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::fmt;
use tracing_subscriber::prelude::*;

use crate::config::{Log, LogFormat};

pub fn begin(log: &Log) {
    let json = match log.format {
        LogFormat::Json => true,
        LogFormat::Human => false,
        LogFormat::Auto => !stderr().is_terminal(),
    };
    let own = Targets::new().with_target("crm_worker", log.level).with_default(LevelFilter::OFF);
    let lines = fmt::layer().with_writer(stderr);
    let registry = tracing_subscriber::registry();
    if json {
        let lines = lines.json().flatten_event(true).with_current_span(false).with_span_list(false).with_target(false);
        registry.with(lines.with_filter(own)).init();
    } else {
        registry.with(lines.with_ansi(stderr().is_terminal()).with_target(false).with_filter(own)).init();
    }
}
