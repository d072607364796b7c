//! The A2S responder's reader: any datagram is a request or nothing, and what is sent never depends
//! on more than the request says.
#![no_main]

use gameside::internals::frontends::a2s::wire::{Query, Request};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|packet: &[u8]| {
    let Some(request) = Request::parse(packet) else { return };
    assert!(packet.starts_with(&[0xff; 4]), "only a single-packet header begins a request");
    assert!(request.challenge != Some(u32::MAX), "the number that asks for a challenge proves nothing");
    if request.query == Query::Info {
        assert!(packet.len() >= 25, "an info request carries its text, so that its answer isn't many times as long");
    }
});
