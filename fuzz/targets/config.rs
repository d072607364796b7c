//! The two configuration files: any text is read to the end or reported with places in it; a file
//! without faults is validated.
#![no_main]

use gameside::internals::{
    agent::{config::AgentConfig, validate},
    config::read::read_text,
    service::ServiceSettings,
};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let agent = read_text::<AgentConfig>("agent.toml", text, "GAMESIDE_", &[]);
    if let Ok((config, _)) = agent.finish() {
        let _ = validate::faults(&config);
    }
    let service = read_text::<ServiceSettings>("sessions.toml", text, "GAMESIDE_SESSIONS_", &[]);
    match service.finish() {
        Ok((settings, _)) => drop(settings.faults()),
        Err(report) => assert!(!report.to_string().is_empty()),
    }
});
