//! PlayFab heartbeats of every flavour: read or refused, and bounded.
#![no_main]

use gameside::internals::frontends::gsdk::heartbeat::{Heartbeat, Players, SdkInfo};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|body: &[u8]| {
    let _ = SdkInfo::parse(body);
    if let Ok(beat) = Heartbeat::parse(body) {
        assert!(serde_json::from_slice::<serde_json::Value>(body).is_ok_and(|value| value.is_object()));
        if let Players::Named(players) = beat.players {
            assert!(players.iter().all(|player| !player.is_empty()));
        }
    }
});
