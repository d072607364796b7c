//! What the calls that a game makes all the time cost the agent: health pings and reads of the
//! GameServer, in processor time.

use crate::{
    row,
    support::{proc, world::World},
    wire::{Caller, request},
};
use serde_json::json;
use std::time::Duration;

const CALLS: u32 = 100_000;
/// Before anything is counted: the first ping is written down, later ones aren't.
const WARM_UP: u32 = 1_000;

pub fn measure() {
    let world = World::new();
    let config = "[game]\ncommand = [\"/bin/sleep\", \"100000\"]\nstart = \"at-boot\"\n[allocation]\nprovider = \"hook\"\n\
        [agones]\ngrpc = \"127.0.0.1:0\"\nhttp = \"127.0.0.1:0\"\n";
    let agent = world.agent("sdk", config);
    let status = agent.wait("a game and its gateway", |status| {
        status["game"]["pid"].is_u64() && status["gateway"]["connected"] == true
    });
    let gateway = u32::try_from(status["gateway"]["pid"].as_u64().unwrap()).unwrap();
    let spent = || proc::processor_time(agent.pid()) + proc::processor_time(gateway);
    let env = std::fs::read_to_string(format!("/proc/{}/environ", status["game"]["pid"])).unwrap();
    let port = env.split('\0').find_map(|entry| entry.strip_prefix("AGONES_SDK_HTTP_PORT=")).unwrap();
    let port: u16 = port.parse().unwrap();
    let ping = request("POST", "/health", "", &[], Some(&json!({})));
    let read = request("GET", "/gameserver", "", &[], None);
    for (what, call, wanted) in [("SDK health pings", ping, "<= 1 s"), ("GET /gameserver", read, "")] {
        let mut caller = Caller::open(([127, 0, 0, 1], port).into(), vec![call]);
        repeat(&mut caller, WARM_UP);
        let before = spent();
        repeat(&mut caller, CALLS);
        let spent: Duration = spent().saturating_sub(before);
        row(&format!("processor time of {CALLS} {what}"), &format!("{:.2} s", spent.as_secs_f64()), wanted);
    }
}

fn repeat(caller: &mut Caller, calls: u32) {
    for _ in 0..calls {
        caller.ask();
        let answer = caller.hear();
        assert_eq!(answer.status, 200);
    }
}
