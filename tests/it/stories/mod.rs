//! The whole thing, end to end: agents, keepers, games and the session service as real processes.
//!
//! | module | the story |
//! |---|---|
//! | [`misbehaviour`] | crash, crash loop, hang, never ready, daemonising, refusing SIGTERM, forking helpers, flooding its log |
//! | [`guards`] | nobody comes, everybody has left, a match takes too long |
//! | [`launching`] | what a game is started with: parameters, ports, addresses, tokens; what is refused before anything is spawned |
//! | [`failing`] | launchers, programs that can't be started, starts that never end |
//! | [`lines`] | what a game prints, in bursts and while no agent is there |
//! | [`hook`] | allocation by an operator |
//! | [`keepers`] | keepers that are killed or lose their files |
//! | [`fleet`] | ten agents, one service |
//! | [`backfill`] | free places are filled for as long as there are some |
//! | [`asked`] | commands whose agent dies while it is asked |
//! | [`outages`] | the session service away in every way, and back |
//! | [`reporting`] | a game that writes its own instance |

mod asked;
mod backfill;
mod failing;
mod fleet;
mod guards;
mod hook;
mod keepers;
mod launching;
mod lines;
mod misbehaviour;
mod outages;
mod reporting;

use crate::support::{agent::Agent, service::Service, world::World};
use serde_json::{Value, json};
use std::process::Child;

/// What no story waits for by default: nobody comes, and nothing is hurried.
const PATIENT: &str = "[guards]\nno_show_timeout = \"1h\"\nempty_timeout = \"1h\"\n";
const HOOK: &str = "[allocation]\nprovider = \"hook\"\n";
const SIC: &str = "[allocation]\nprovider = \"sic\"\n";

/// The practice game under an agent that waits for `gameside allocate` or its like.
fn hooked<'w>(world: &'w World, service: &Service<'_>, more: &str) -> Agent<'w> {
    let agent = world.agent("server", &format!("{}{HOOK}{more}", service.agent_config()));
    agent.wait_phase("idle");
    agent
}

/// An allocation with a new id; `misc` is what the practice game is told.
fn allocation(misc: &str) -> Value {
    json!({"allocation_id": uuid::Uuid::new_v4().to_string(),
        "startup_params": {"map": "harbour", "mode": "duel", "misc_params": misc}})
}

/// Allocates, and says for which session.
fn allocate(agent: &Agent<'_>, misc: &str) -> String {
    let said = agent.call("POST", "/v1/allocation", Some(&allocation(misc))).unwrap().ok();
    said["session_id"].as_str().unwrap_or_else(|| panic!("{said}")).to_owned()
}

fn pid(status: &Value, who: &str) -> u32 {
    status[who]["pid"].as_u64().unwrap_or_else(|| panic!("no pid of the {who}: {status:#}")) as u32
}

/// A player who comes and goes.
struct Player(Child);

impl Player {
    fn joins(world: &World, status: &Value, uuid: &str) -> Self {
        let address = format!("127.0.0.1:{}", status["ports"]["game"]);
        let log = world.log("players.log");
        let mut command = world.gameside(["practice", "join", &address, "--uuid", uuid, "--name", "ada"]);
        Player(command.stdout(log.try_clone().unwrap()).stderr(log).spawn().unwrap())
    }

    /// Leaves as Ctrl-C does.
    fn leaves(mut self) {
        crate::support::proc::signal(self.0.id(), 2);
        self.0.wait().unwrap();
    }
}

impl Drop for Player {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
