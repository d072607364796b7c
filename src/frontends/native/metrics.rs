//! `/metrics`: the newest status as figures, made for each request. Names are documented in
//! `docs/metrics.md`.

use super::Api;
use crate::model::{
    calls::Backend,
    session::{InstanceHealth, JoinStatus},
    status::{MachineStatus, PhaseName, Status},
};
use prometheus_client::{
    encoding::text::encode,
    metrics::{counter::ConstCounter, family::Family, gauge::Gauge, info::Info},
    registry::{Registry, Unit},
};
use std::sync::atomic::{AtomicU64, Ordering};

/// Answers given, by the first digit of their status.
#[derive(Debug, Default)]
pub(crate) struct Answers {
    by_class: [AtomicU64; 6],
}

impl Answers {
    pub(crate) fn count(&self, status: http::StatusCode) {
        if let Some(class) = self.by_class.get(usize::from(status.as_u16() / 100)) {
            class.fetch_add(1, Ordering::Relaxed);
        }
    }
}

type States = Family<[(&'static str, &'static str); 1], Gauge>;

/// The whole page.
pub(crate) fn text(api: &Api) -> String {
    let status = std::sync::Arc::clone(&api.status.borrow());
    let mut registry = Registry::with_prefix("gameside");
    let labels = [("name", status.name.clone()), ("version", status.agent.version.clone())];
    registry.register("agent", "The agent's name and version", Info::new(labels));
    states(&mut registry, &status);
    figures(&mut registry, &status);
    game(&mut registry, &status);
    own_memory(&mut registry, &status);
    machine(&mut registry, status.machine.as_ref());
    api_figures(&mut registry, api);
    let mut page = String::new();
    encode(&mut page, &registry).expect("writing to a String can't fail");
    page
}

fn one_of(registry: &mut Registry, name: &str, help: &str, label: &'static str, all: &[(&'static str, bool)]) {
    let family = States::default();
    for (state, is) in all {
        family.get_or_create(&[(label, *state)]).set(i64::from(*is));
    }
    registry.register(name, help, family);
}

fn states(registry: &mut Registry, status: &Status) {
    use {InstanceHealth as H, JoinStatus as J, PhaseName as P};
    let phases = [
        ("idle", P::Idle),
        ("starting", P::Starting),
        ("serving", P::Serving),
        ("draining", P::Draining),
        ("closing", P::Closing),
        ("ended", P::Ended),
    ];
    one_of(registry, "phase", "1 for the phase the agent is in", "phase", &phases.map(|(n, p)| (n, p == status.phase)));
    let joins = [
        ("requested", J::Requested),
        ("allocated", J::Allocated),
        ("pending", J::Pending),
        ("joinable", J::Joinable),
        ("unjoinable", J::Unjoinable),
        ("closed", J::Closed),
    ];
    let joins = joins.map(|(name, join)| (name, Some(join) == status.join_status));
    one_of(registry, "join_status", "1 for the join status shown, all 0 without a session", "status", &joins);
    let healths =
        [("healthy", H::Healthy), ("degraded", H::Degraded), ("unhealthy", H::Unhealthy), ("unknown", H::Unknown)];
    let healths = healths.map(|(name, health)| (name, health == status.instance_health));
    one_of(registry, "instance_health", "1 for the health reported", "health", &healths);
}

fn figures(registry: &mut Registry, status: &Status) {
    let mut gauge = |name: &str, help: &str, value: i64| {
        let gauge = Gauge::<i64>::default();
        gauge.set(value);
        registry.register(name, help, gauge);
    };
    // A number that nobody knows is none.
    if let Some(players) = status.players {
        gauge("players", "Players connected", i64::from(players));
    }
    let disputed = status.players_disputed_until.is_some();
    gauge("players_disputed", "1 while sources disagree whether anybody plays", i64::from(disputed));
    gauge("players_max", "Places for players, 0 if unknown", i64::from(status.max_players.unwrap_or(0)));
    gauge("game_up", "1 while a game process lives", i64::from(status.game.pid.is_some()));
    gauge("game_ready", "1 once readiness was proved", i64::from(status.game.ready));
    gauge("game_restarts", "Restarts within this allocation", i64::from(status.game.restarts));
    gauge("keeper_connected", "1 while the keeper is connected", i64::from(status.keeper.connected));
    let gateway = status.gateway.as_ref().is_some_and(|gateway| gateway.connected);
    gauge("gateway_connected", "1 while the SDK gateway is connected", i64::from(gateway));
    gauge("registered", "1 while the provider may allocate this server", i64::from(status.agent.registered));
    gauge(
        "backend_up",
        "1 while the session service can be worked with",
        i64::from(matches!(status.backend, Backend::Up)),
    );
    gauge("outbox_reports", "Reports not yet delivered to the session service", status.outbox.len() as i64);
    gauge("backfill", "1 while the session has a backfill", i64::from(status.backfill_id.is_some()));
}

/// The game's process tree.
fn game(registry: &mut Registry, status: &Status) {
    let game = &status.game;
    gauge(registry, "game_processes", "Processes of the game, 0 if unknown", f64::from(game.processes.unwrap_or(0)));
    bytes(registry, "game_memory", "Memory of the game, 0 if unknown", game.memory);
    bytes(registry, "game_memory_limit", "Memory that the game may use, 0 without a limit", game.memory_limit);
    let help = "Share of 10 s in which a process of the game waited for memory, 0 if unknown";
    gauge(registry, "game_memory_pressure_ratio", help, ratio(game.memory_pressure));
    let help = "Share of 10 s in which a process of the game waited for a processor, 0 if unknown";
    gauge(registry, "game_cpu_pressure_ratio", help, ratio(game.cpu_pressure));
    let cpu = ConstCounter::new(game.cpu_ms.unwrap_or(0) as f64 / 1000.0);
    registry.register_with_unit("game_cpu", "CPU time that the game has used", Unit::Seconds, cpu);
    let started = Gauge::<i64>::default();
    started.set(game.started.map_or(0, |at| at.unix_millis() / 1000));
    registry.register_with_unit(
        "game_start_time",
        "When the game was started, Unix time, 0 without one",
        Unit::Seconds,
        started,
    );
}

/// What our own processes cost.
fn own_memory(registry: &mut Registry, status: &Status) {
    let (agent, keeper) = (status.agent.memory, status.keeper.memory);
    let help = "Memory of the agent alone, 0 if unknown";
    bytes(registry, "agent_memory_private", help, agent.map(|memory| memory.private));
    let help = "That and its share of what it shares, 0 if unknown";
    bytes(registry, "agent_memory_proportional", help, agent.and_then(|memory| memory.proportional));
    let help = "Memory of the keeper alone, 0 if unknown";
    bytes(registry, "keeper_memory_private", help, keeper.map(|memory| memory.private));
    let gateway = status.gateway.as_ref().and_then(|gateway| gateway.memory);
    let help = "Memory of the SDK gateway alone, 0 if unknown or if the agent serves the SDK itself";
    bytes(registry, "gateway_memory_private", help, gateway.map(|memory| memory.private));
}

fn machine(registry: &mut Registry, machine: Option<&MachineStatus>) {
    let help = "Processors that may be used, 0 if unknown";
    gauge(registry, "machine_processors", help, machine.map_or(0.0, |machine| f64::from(machine.processors)));
    let help = "Memory of the machine or container";
    bytes(registry, "machine_memory", help, machine.map(|machine| machine.memory_total));
    bytes(registry, "machine_memory_available", "What of it is free", machine.map(|machine| machine.memory_available));
    let [one, five, fifteen] = machine.map_or([0.0; 3], |machine| machine.load);
    gauge(registry, "machine_load1", "Load average of the machine over a minute", one);
    gauge(registry, "machine_load5", "Load average of the machine over five minutes", five);
    gauge(registry, "machine_load15", "Load average of the machine over fifteen minutes", fifteen);
    let busy = machine.map_or(0.0, |machine| f64::from(machine.cpu_percent) / 100.0);
    gauge(registry, "machine_cpu_ratio", "Share of the machine's processors that was busy", busy);
    let help = "Share of 10 s in which some process of the machine waited for memory, 0 if unknown";
    gauge(registry, "machine_memory_pressure_ratio", help, ratio(machine.and_then(|machine| machine.memory_pressure)));
    let help = "Share of 10 s in which some process of the machine waited for a processor, 0 if unknown";
    gauge(registry, "machine_cpu_pressure_ratio", help, ratio(machine.and_then(|machine| machine.cpu_pressure)));
}

fn gauge(registry: &mut Registry, name: &str, help: &str, value: f64) {
    let gauge = Gauge::<f64, AtomicU64>::default();
    gauge.set(value);
    registry.register(name, help, gauge);
}

fn bytes(registry: &mut Registry, name: &str, help: &str, value: Option<u64>) {
    let gauge = Gauge::<i64>::default();
    gauge.set(value.unwrap_or(0) as i64);
    registry.register_with_unit(name, help, Unit::Bytes, gauge);
}

/// A percentage as a share of 1.
fn ratio(percent: Option<f32>) -> f64 {
    f64::from(percent.unwrap_or(0.0)) / 100.0
}

/// Figures of the API itself.
fn api_figures(registry: &mut Registry, api: &Api) {
    let answers = Family::<[(&'static str, &'static str); 1], prometheus_client::metrics::counter::Counter>::default();
    for (class, name) in [(2, "2xx"), (3, "3xx"), (4, "4xx"), (5, "5xx")] {
        answers.get_or_create(&[("status", name)]).inc_by(api.counters.answers.by_class[class].load(Ordering::Relaxed));
    }
    registry.register("api_answers", "Answers of the operators' API", answers);
    let streams = Gauge::<i64>::default();
    streams.set(api.counters.streams.load(Ordering::Relaxed) as i64);
    registry.register("api_streams", "Event and timeline streams that are open", streams);
    let lagged = ConstCounter::new(api.counters.lagged.load(Ordering::Relaxed));
    registry.register("api_streams_lagged", "Streams ended because their reader was too slow", lagged);
}
