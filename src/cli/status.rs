//! `gameside status [NAME]`: what an agent does and why, for people, scripts and supervisors.

mod players;

use super::{
    error::Failure,
    exit::Exit,
    find::{Finder, Found},
    operator::Operator,
    terminal::{Paint, Tone},
};
use crate::{
    agent::{offline_status, summary},
    host::{clock, escape::escape},
    model::{
        calls::Backend,
        process::{ExitReport, ExitStatus, KILLED, Users},
        session::InstanceHealth,
        status::{AgentStatus, GameStatus, GatewayStatus, LastEnd, MachineStatus, MemoryStatus, Status},
        time::Timestamp,
        units::Span,
    },
};
use anyhow::anyhow;
use http::Method;
use std::{fmt::Write as _, time::Duration};

/// Say what an agent does, and why.
///
/// When the agent is down, keeper and journal answer as far as they know, and the exit code is 3.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  gameside status\n  gameside status eu-1 --json | jq .join_status\n  gameside status --watch\n  gameside status eu-1 --probe ready"
)]
pub(crate) struct Args {
    /// The agent; may be left out where one runs.
    name: Option<String>,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
    /// Print it again whenever it changes, until Ctrl-C.
    #[arg(long)]
    watch: bool,
    /// For supervisors: print nothing and exit 0 if the agent makes progress (`live`) or can do its work (`ready`); else
    /// say why and exit 1, or 3 if none runs.
    #[arg(long, value_name = "WHAT", conflicts_with_all = ["json", "watch"])]
    probe: Option<ProbeQuestion>,
}

/// What a probe asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum ProbeQuestion {
    /// Whether the agent's deciding loop makes progress.
    Live,
    /// Whether its journal was replayed and its keeper is connected.
    Ready,
}

/// Supervisors give a probe five seconds: ours must have said why by then.
const PROBE: Duration = Duration::from_secs(4);

pub(crate) fn run(args: &Args, finder: &Finder) -> Result<Exit, Failure> {
    let found = finder.one(args.name.as_deref())?;
    if let Some(question) = args.probe {
        return super::block_on(probe(found.living()?, question));
    }
    super::block_on(async {
        if !args.watch {
            let (status, exit) = look(&found).await?;
            show(&status, args);
            return Ok(exit);
        }
        watch(found, args).await
    })
}

/// Prints every change that the agent tells of, the next agent's too, until none is there.
async fn watch(mut found: Found, args: &Args) -> Result<Exit, Failure> {
    let mut shown = serde_json::Value::Null;
    loop {
        let mut see = |status: serde_json::Value| {
            if status != shown {
                show(&status, args);
                shown = status;
            }
        };
        let watched = match found.pid {
            Some(_) => Operator::of(&found).lines("/v1/status?follow=1", &mut see).await,
            None => Ok(()),
        };
        found.pid = super::find::holder(&found.place);
        if found.pid.is_none() {
            let (status, exit) = look(&found).await?;
            see(status);
            return Ok(exit);
        }
        watched?;
    }
}

/// Asks the agent about itself. No answer, or any other than yes, is a failure.
async fn probe(found: Found, question: ProbeQuestion) -> Result<Exit, Failure> {
    let (path, word) = match question {
        ProbeQuestion::Live => ("/livez", "live"),
        ProbeQuestion::Ready => ("/readyz", "ready"),
    };
    let operator = Operator::of(&found);
    let answer = tokio::time::timeout(PROBE, operator.ask(Method::GET, path, None)).await;
    let answer =
        answer.map_err(|_| anyhow!("the agent {:?} has not answered {path} within {PROBE:?}", found.name))??;
    if (200..300).contains(&answer.status) {
        return Ok(Exit::Done);
    }
    let said: serde_json::Value = serde_json::from_slice(&answer.body).unwrap_or_default();
    let why = said["message"].as_str().map_or_else(|| format!("HTTP {}", answer.status), str::to_owned);
    Err(anyhow!("the agent {:?} is not {word}: {why}", found.name).into())
}

fn show(status: &serde_json::Value, args: &Args) {
    if args.json {
        say!("{status}");
        return;
    }
    if args.watch && super::terminal::colours() {
        say_part!("\x1b[2J\x1b[H");
    }
    match serde_json::from_value::<Status>(alive(status)) {
        Ok(whole) => say_part!("{}", render(&whole, Paint::here())),
        Err(error) => say!("{status}\n(this version can't read it: {error})"),
    }
}

/// The status of an agent, dead or alive, as the JSON object that scripts read; `agent.pid` is null when it is down.
pub(crate) async fn look(found: &Found) -> Result<(serde_json::Value, Exit), Failure> {
    if found.pid.is_some() {
        match Operator::of(found).get("/v1/status").await {
            Ok(status) => return Ok((status, Exit::Done)),
            Err(failure) if failure.exit != Exit::NotRunning => return Err(failure),
            // It ended while we asked.
            Err(_) => {}
        }
    }
    let status = offline_status::status(&found.name, &found.place, clock::now());
    let mut status = serde_json::to_value(status)?;
    status["agent"]["pid"] = serde_json::Value::Null;
    Ok((status, Exit::NotRunning))
}

/// The same with a pid of 0 for none, as the type has it.
fn alive(status: &serde_json::Value) -> serde_json::Value {
    let mut status = status.clone();
    if status["agent"]["pid"].is_null() {
        status["agent"]["pid"] = 0.into();
    }
    status
}

/// The status for a person.
pub(crate) fn render(status: &Status, paint: Paint) -> String {
    let mut text = String::new();
    let down = status.agent.pid == 0;
    let tone = if down || status.instance_health == InstanceHealth::Unhealthy { Tone::Bad } else { Tone::Strong };
    let headline = if down { "the agent is down".to_owned() } else { escape(&summary::line(status)) };
    let _ = writeln!(text, "{}  {headline}", paint.apply(tone, &status.name));
    for (label, value) in rows(status) {
        let _ = writeln!(text, "  {}  {}", paint.apply(Tone::Quiet, &format!("{label:<10}")), escape(&value));
    }
    text
}

fn rows(status: &Status) -> Vec<(&'static str, String)> {
    let mut rows = Vec::new();
    let mut row = |label, value: Option<String>| rows.extend(value.map(|value| (label, value)));
    row("kind", Some(format!("{:?}", status.kind).to_lowercase()));
    row("session", status.session_id.as_ref().map(ToString::to_string));
    row("instance", status.instance_id.as_ref().map(ToString::to_string));
    row("allocation", status.allocation_id.as_ref().map(ToString::to_string));
    row("connect", connect(status));
    row("health", health(status));
    row("players", players::row(status));
    row("game", game(status));
    row("keeper", Some(keeper(status)));
    row("boundary", status.keeper.users.and_then(boundary));
    row("gateway", status.gateway.as_ref().map(|gateway| self::gateway(gateway, &status.agent)));
    row("agent", agent(status));
    row("machine", status.machine.as_ref().map(machine));
    row("service", (status.agent.pid != 0).then(|| service(status)));
    row("deadline", status.deadline.map(|deadline| deadline.to_string()));
    row("to report", (!status.outbox.is_empty()).then(|| status.outbox.join("; ")));
    row("last end", status.last_end.as_ref().map(last_end));
    for warning in &status.warnings {
        row("warning", Some(warning.clone()));
    }
    rows
}

fn connect(status: &Status) -> Option<String> {
    let full = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
    let (public, private) = (full(&status.public_conn_str), full(&status.private_conn_str));
    match (public, private) {
        (None, None) => None,
        (Some(public), None) => Some(format!("public {public}")),
        (None, Some(private)) => Some(format!("private {private} (no public address; see [addresses])")),
        (Some(public), Some(private)) => Some(format!("public {public}, private {private}")),
    }
}

fn health(status: &Status) -> Option<String> {
    status.session_id.as_ref()?;
    let word = summary::health_word(status.instance_health);
    let reasons = status.health_reasons.join("; ");
    Some(if reasons.is_empty() { word.to_owned() } else { format!("{word}: {reasons}") })
}

fn game(status: &Status) -> Option<String> {
    let game = &status.game;
    let mut parts = vec![format!("pid {}", game.pid?)];
    parts.extend(game.run.map(|run| format!("run {run}")));
    parts.extend(game.started.map(|started| format!("up {}", age(started))));
    parts.push(if game.ready { "ready".to_owned() } else { "not ready yet".to_owned() });
    parts.push(format!("restarts {}", game.restarts));
    parts.extend(game.version.as_ref().map(|version| format!("version {version}")));
    parts.extend(game_figures(game));
    parts.extend(game.tick_rate.as_ref().map(|rate| format!("{rate} ticks/s")));
    parts.extend(game.sdk_state.as_ref().map(|state| format!("SDK state {state}")));
    if !game.speaks.is_empty() {
        let doors: Vec<_> = game.speaks.iter().map(|door| format!("{door:?}").to_lowercase()).collect();
        let sdk = game.sdk.as_ref().map_or(String::new(), |sdk| format!(" ({sdk})"));
        parts.push(format!("speaks {}{sdk}", doors.join(", ")));
    }
    Some(parts.join(", "))
}

fn keeper(status: &Status) -> String {
    let keeper = &status.keeper;
    let Some(pid) = keeper.pid else { return "none".to_owned() };
    let containment =
        keeper.containment.map_or(String::new(), |containment| format!(", {containment:?}").to_lowercase());
    let connection = if keeper.connected { "" } else { ", not connected" };
    let memory = keeper.memory.map_or(String::new(), |memory| format!(", {}", cost(memory)));
    format!("pid {pid}{containment}{memory}{connection}")
}

/// What a game that runs as we do can reach. None: it is another user.
fn boundary(users: Users) -> Option<String> {
    let whose = users.whose_is_the_games()?;
    Some(format!(
        "none: the game runs as uid {}, as {whose}; it can end them and read and change that user's files, secrets too",
        users.game
    ))
}

/// Who serves the game's SDK.
fn gateway(gateway: &GatewayStatus, agent: &AgentStatus) -> String {
    let connection = if gateway.connected { "" } else { ", not connected" };
    if gateway.in_process {
        return format!(
            "the agent itself, as its keeper starts none: a restart of the agent breaks the game's streams{connection}"
        );
    }
    let memory = gateway.memory.map_or(String::new(), |memory| format!(", {}", cost(memory)));
    let build = if gateway.build == agent.version {
        String::new()
    } else {
        format!(
            ", build {} beside the agent's {}: the next run of the game gets the agent's",
            gateway.build, agent.version
        )
    };
    format!("pid {}{memory}{build}{connection}", gateway.pid)
}

fn agent(status: &Status) -> Option<String> {
    let agent = &status.agent;
    if agent.pid == 0 {
        return None;
    }
    let mut parts = vec![format!("pid {}", agent.pid), format!("version {}", agent.version)];
    parts.extend(agent.started.map(|started| format!("up {}", age(started))));
    parts.extend(agent.memory.map(cost));
    parts.push(format!("allocations from {}", agent.provider));
    parts.extend(agent.api.as_ref().map(|api| format!("API {api}")));
    parts.extend(agent.journal.as_ref().map(|trouble| format!("journal: {trouble}")));
    Some(parts.join(", "))
}

/// What a process of ours costs.
fn cost(memory: MemoryStatus) -> String {
    let mebibytes = |bytes: u64| format!("{:.1} MiB", bytes as f64 / f64::from(1 << 20));
    let proportional =
        memory.proportional.map_or(String::new(), |share| format!(" ({} proportional)", mebibytes(share)));
    format!("memory {} private{proportional}", mebibytes(memory.private))
}

/// What the game's process tree costs.
fn game_figures(game: &GameStatus) -> Vec<String> {
    let count = |count| if count == 1 { "1 process".to_owned() } else { format!("{count} processes") };
    let figures = [
        game.processes.map(count),
        game.memory.map(|bytes| memory(bytes, game.memory_limit)),
        game.cpu_ms.map(|used| format!("CPU {:.1} s", used as f64 / 1000.0)),
        waiting(game.memory_pressure, game.cpu_pressure),
    ];
    figures.into_iter().flatten().collect()
}

fn memory(bytes: u64, limit: Option<u64>) -> String {
    let limit = limit.map_or(String::new(), |limit| format!(" of {}", limit >> 20));
    format!("memory {}{limit} MiB", bytes >> 20)
}

fn machine(machine: &MachineStatus) -> String {
    let [load, ..] = machine.load;
    let mut text = format!(
        "{} processors {}% busy, load {load:.2}, memory {} of {} MiB free",
        machine.processors,
        machine.cpu_percent,
        machine.memory_available >> 20,
        machine.memory_total >> 20
    );
    if let Some(waiting) = waiting(machine.memory_pressure, machine.cpu_pressure) {
        let _ = write!(text, ", {waiting}");
    }
    text
}

/// Pressure of the last seconds, where somebody waits at all.
fn waiting(memory: Option<f32>, cpu: Option<f32>) -> Option<String> {
    let waits = |what: &str, percent: Option<f32>| {
        percent.filter(|percent| *percent >= 0.5).map(|percent| format!("{percent:.0}% waiting for {what}"))
    };
    let parts: Vec<_> = waits("memory", memory).into_iter().chain(waits("processors", cpu)).collect();
    (!parts.is_empty()).then(|| parts.join(", "))
}

fn service(status: &Status) -> String {
    let url = status.sessions_url.as_deref().unwrap_or("-");
    match &status.backend {
        Backend::Untried => format!("{url}, not asked yet"),
        Backend::Up => format!("{url}, up"),
        Backend::Away { since, why } => format!("{url}, away for {}: {why}", age(*since)),
        Backend::Refused { since, why } => format!("{url}, refuses our login for {}: {why}", age(*since)),
    }
}

/// How a match ended, in one line.
pub(crate) fn last_end(end: &LastEnd) -> String {
    let how = end.exit.as_ref().map_or("no process", |_| "").to_owned();
    let how = end.exit.as_ref().map_or(how, |report| exit_words(&report.status));
    let told = if end.reported { "reported as closed" } else { "not yet reported as closed" };
    let how = if end.reason.contains(&how) { String::new() } else { format!("; {how}") };
    format!("{} ago: {}{how}; {told}", age(end.at), end.reason)
}

/// How a process ended that was told to.
pub(crate) fn stop_words(report: &ExitReport) -> String {
    let words = exit_words(&report.status);
    if report.status.is_killed() { format!("{words}; {KILLED}") } else { words }
}

/// How a process ended, in words.
pub(crate) fn exit_words(status: &ExitStatus) -> String {
    match status {
        ExitStatus::Exited { code } => format!("exit code {code}"),
        ExitStatus::Signaled { signal, core } => {
            format!("killed by signal {signal}{}", if *core { ", core dumped" } else { "" })
        }
        ExitStatus::OomKilled => "killed for using too much memory".to_owned(),
        ExitStatus::SpawnFailed { error } => format!("could not be started: {error}"),
        ExitStatus::Lost => "exit status lost with its keeper".to_owned(),
    }
}

fn age(since: Timestamp) -> String {
    let seconds = clock::wall().since(since).as_secs();
    Span::from_secs(if seconds >= 3600 { seconds - seconds % 60 } else { seconds }).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_game_of_the_same_user_can_reach_is_said_in_one_line() {
        let users = |game| Users { keeper: 7, game, agent: Some(8), gateway: None };
        let said = |game| boundary(users(game));
        assert_eq!(said(9), None);
        assert!(said(7).unwrap().starts_with("none: the game runs as uid 7, as its keeper does; it can end them"));
        assert!(said(8).unwrap().contains("as the agent does"));
        let same = boundary(Users { agent: None, ..users(7) }).unwrap();
        assert!(same.contains("as keeper and agent do"), "an older keeper's agent is its own user: {same}");
    }

    #[test]
    fn the_process_tree_and_the_machine_are_shown_with_memory_cpu_load_and_pressure() {
        let machine_now = MachineStatus {
            processors: 8,
            cpu_percent: 25,
            load: [1.5, 2.5, 3.5],
            memory_total: 16 << 30,
            memory_available: 8 << 30,
            memory_pressure: Some(0.1),
            cpu_pressure: Some(12.4),
        };
        let shown = "8 processors 25% busy, load 1.50, memory 8192 of 16384 MiB free, 12% waiting for processors";
        assert_eq!(machine(&machine_now), shown);
        let text = game_figures(&GameStatus {
            memory: Some(300 << 20),
            memory_limit: Some(512 << 20),
            cpu_ms: Some(61_500),
            processes: Some(3),
            memory_pressure: Some(7.0),
            ..GameStatus::default()
        });
        assert_eq!(text.join(", "), "3 processes, memory 300 of 512 MiB, CPU 61.5 s, 7% waiting for memory");
        assert_eq!(game_figures(&GameStatus::default()), Vec::<String>::new());
    }
}
