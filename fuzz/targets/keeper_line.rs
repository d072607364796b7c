//! Lines between agent and keeper: what is understood is written as it was meant.
#![no_main]

use gameside::internals::keeper::protocol::{Reply, Request};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|line: &[u8]| {
    if let Ok(request) = serde_json::from_slice::<Request>(line) {
        let text = serde_json::to_string(&request).expect("an order is written");
        assert!(!text.contains('\n'));
        assert_eq!(serde_json::from_str::<Request>(&text).expect("and read again"), request);
    }
    if let Ok(reply) = serde_json::from_slice::<Reply>(line) {
        let text = serde_json::to_string(&reply).expect("a reply is written");
        assert!(!text.contains('\n'));
        assert_eq!(serde_json::from_str::<Reply>(&text).expect("and read again"), reply);
    }
});
