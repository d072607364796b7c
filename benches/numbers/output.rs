//! How fast a game's output is taken, against `cat > file` on the same kind of pipe.

use crate::{
    game, row,
    support::{service::Service, world::World},
};
use serde_json::json;
use std::{
    process::{Command, Stdio},
    time::{Duration, Instant},
};

const MEGABYTES: usize = 1024;
/// 2000 lines of 97 bytes in a millisecond are 190 MB/s; a talkative server writes a thousandth of that.
const LINES_A_MILLISECOND: usize = 100;
const MILLISECONDS: usize = 5000;

pub fn measure() {
    let cat = cat();
    let keeper = through_keeper(&game::command("write", &[&MEGABYTES.to_string()]), None);
    let rate = |took: Duration| MEGABYTES as f64 / took.as_secs_f64();
    row("output taken by `cat > file`", &format!("{:.0} MiB/s", rate(cat)), "");
    row("output taken by the keeper, rotated", &format!("{:.0} MiB/s", rate(keeper.0)), "");
    row("ratio", &format!("{:.2}", rate(keeper.0) / rate(cat)), ">= 0.5");

    let args = [LINES_A_MILLISECOND.to_string(), MILLISECONDS.to_string()];
    let command = game::command("paced", &[&args[0], &args[1]]);
    let (_, log) = through_keeper(&command, Some("blocked="));
    let blocked = log.unwrap_or_else(|| "no word of it".to_owned());
    let rate = LINES_A_MILLISECOND * 97 * 1000 / 1_000_000;
    row(&format!("writes that would block, at {rate} MB/s"), &blocked, "0");
}

fn cat() -> Duration {
    let world = World::new();
    let this = std::env::current_exe().unwrap();
    let begun = Instant::now();
    let mut writer =
        Command::new(this).args([game::WORD, "write", &MEGABYTES.to_string()]).stdout(Stdio::piped()).spawn().unwrap();
    let file = std::fs::File::create(world.path().join("cat")).unwrap();
    let status = Command::new("cat").stdin(writer.stdout.take().unwrap()).stdout(file).status().unwrap();
    assert!(status.success() && writer.wait().unwrap().success());
    begun.elapsed()
}

/// Runs the game once under an agent; how long it lived, and its line of the log that holds `word`.
fn through_keeper(command: &str, word: Option<&str>) -> (Duration, Option<String>) {
    let world = World::new();
    let service = Service::start(&world);
    let config = format!(
        "{}[game]\ncommand = {command}\n[game.readiness]\nby = \"delay\"\ndelay = \"1h\"\ntimeout = \"2h\"\n\
         [game.restart]\nwhen = \"never\"\n[allocation]\nprovider = \"hook\"\n",
        service.agent_config()
    );
    let mut agent = world.agent("output", &config);
    agent.wait_phase("idle");
    let body = json!({"allocation_id": uuid::Uuid::new_v4(), "startup_params": {"map": "a", "misc_params": ""}});
    agent.call("POST", "/v1/allocation", Some(&body)).unwrap().ok();
    let ended = agent.wait("the game's end", |status| status["last_end"]["exit"].is_object());
    let exit = &ended["last_end"]["exit"];
    assert_eq!(exit["status"]["code"], 0, "{exit}");
    let time = |key: &str| chrono::DateTime::parse_from_rfc3339(exit[key].as_str().unwrap()).unwrap();
    let took = (time("ended") - time("started")).to_std().unwrap();
    let log = std::fs::read_to_string(agent.dir().join("logs/game.log")).unwrap_or_default();
    let line = word.and_then(|word| log.lines().rfind(|line| line.contains(word)).map(str::to_owned));
    let line = line.map(|line| line[line.find("blocked=").unwrap() + 8..].to_owned());
    agent.stop();
    (took, line)
}
