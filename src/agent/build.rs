//! Putting an agent together: every edge, the core, the driver.

use super::{
    NoAgent, Options,
    chronicle::{self, Chronicle},
    driver::{Driver, Identity},
    follow_signals,
    hands::{self, ExecHandle, Eyes, Hands},
    hooks::Hooks,
    inbox::{Arrival, Control, Inbox, QUEUE},
    journal, local,
    ports::GamePorts,
    provide::Provider,
    record::AgentRecord,
    reload::Reloader,
    settings,
};
use crate::{
    config::agent::{AgentConfig, host::KeeperMode},
    core::{
        Core,
        io::{Effect, JournalFact, Memory, Restored},
    },
    frontends::{self, Bound, Events, Frontend, Place, Shared, Timeline, TokenBook},
    host::{
        clock, files,
        paths::{AgentPlace, Places},
        signals::Signals,
    },
    keeper::{self, ExecStatus, Keeper, KeeperEvent, KeeperPlace, ListenerAddress, ListenerSpec, Mode, SpawnKeeper},
    model::{
        calls::Backend,
        keeper::KeeperFact,
        policy::Readiness,
        probe::LogPatterns,
        status::{AgentStatus, Status},
        units::Size,
    },
    probes::{Exec, Log, Ran},
    upstream::{self, Upstream},
};
use futures_util::FutureExt as _;
use secrecy::SecretString;
use std::{
    collections::{BTreeMap, VecDeque},
    ffi::OsString,
    sync::Arc,
    time::Duration,
};
use tokio::{
    sync::{mpsc, watch},
    task::JoinSet,
};

/// An agent ready to be driven.
#[derive(Debug)]
pub struct Built {
    pub driver: Driver,
    /// What the core wants done first.
    pub first: Vec<Effect>,
    /// The frontends; they end when this is dropped.
    pub frontends: JoinSet<()>,
    /// Signals, and whoever looks after the local session service.
    pub tasks: JoinSet<()>,
}

/// The edges that everything else stands on.
struct Ground {
    upstream: Upstream,
    backend: mpsc::Receiver<Backend>,
    keeper: Keeper,
    events: mpsc::Receiver<KeeperEvent>,
    /// What the keeper said before there was a driver.
    early: VecDeque<KeeperEvent>,
    registry: Vec<Box<dyn Frontend>>,
    bound: Vec<Bound>,
    found: settings::Found,
    entropy: [u8; 32],
    tasks: JoinSet<()>,
}

/// `None`: told to end before there was a keeper.
#[allow(clippy::too_many_lines, reason = "a list of parts, each made and connected once")]
pub(super) async fn build(
    options: &Options,
    place: &AgentPlace,
    ports: &GamePorts,
    control: mpsc::Sender<Control>,
    mut orders: mpsc::Receiver<Control>,
) -> Result<Option<Built>, NoAgent> {
    let config = &options.loaded.config;
    let Some(mut ground) = ground(options, place, ports, control, &mut orders).await? else { return Ok(None) };
    let api = ground.found.frontends.get("GAMESIDE_API").cloned();
    let (core, first, journal, journal_facts) = wake(config, place, &ground)?;

    let (status, status_reader) = watch::channel(Arc::new(core.status()));
    let provider = settings::provider(config, &ground.found)?;
    let (provider, provider_events) = Provider::new(provider, ground.upstream.clone());
    let ((answers, answered), (findings, found_out)) = (mpsc::channel(64), mpsc::channel(64));
    let ((said, heard), (asking, asked)) = (mpsc::channel(QUEUE), mpsc::channel(QUEUE));
    let (pulse, pulses) = mpsc::channel(16);
    let (timeline, seq) = timeline(place);
    let tokens = Arc::new(TokenBook::new(operator_token(config, place)?));
    let game_events = Arc::new(Events::new(files::random_hex()[..16].to_owned()));
    let shared = Shared {
        said,
        orders: asking,
        pulse,
        status: status_reader.clone(),
        events: Arc::clone(&game_events),
        timeline: Arc::clone(&timeline),
        tokens: tokens.clone(),
    };
    let hands = Hands {
        answers,
        provider,
        journal,
        events: game_events,
        timeline,
        chronicle: Chronicle::start(&place.timeline()).map_err(NoAgent::io("open the timeline"))?,
        viewer: options.viewer.clone(),
        tokens,
        game_secret: SecretString::from(files::secret(&place.game_secret())?),
        eyes: eyes(config, findings, &ground.keeper),
        hooks: hooks(config, place),
        memory: hands::Memory { seq, ..hands::Memory::default() },
        keeper: ground.keeper,
        upstream: ground.upstream,
    };
    let mut frontends = JoinSet::new();
    for frontend in ground.registry {
        frontend.serve(&mut ground.bound, shared.clone(), &mut frontends).map_err(NoAgent::io("serve the API"))?;
    }
    let (identity, identity_reader) = watch::channel(identity(config, api.as_deref(), &options.places));
    if config.session.is_local() {
        ground.tasks.spawn(keep_local_service(options.places.clone(), status_reader, identity));
    }
    register(place, api.as_deref())?;
    let early = ground.early.into_iter().map(Arrival::Keeper).collect();
    let inbox = Inbox {
        early,
        keeper: ground.events,
        journal: journal_facts,
        answers: answered,
        backend: ground.backend,
        provider: provider_events,
        heard,
        asked,
        pulse: pulses,
        found: found_out,
        control: orders,
    };
    let driver = Driver { core, inbox, hands, status, identity: identity_reader, clock: clock::now };
    Ok(Some(Built { driver, first, frontends, tasks: ground.tasks }))
}

/// Signals, session service, keeper, sockets, addresses: in this order, so that a signal is heard while the keeper is waited for.
async fn ground(
    options: &Options,
    place: &AgentPlace,
    ports: &GamePorts,
    control: mpsc::Sender<Control>,
    orders: &mut mpsc::Receiver<Control>,
) -> Result<Option<Ground>, NoAgent> {
    let config = &options.loaded.config;
    let mut tasks = JoinSet::new();
    let signals = Signals::listen().map_err(NoAgent::io("listen for signals"))?;
    let (reloader, reloading) = Reloader::new(options, place.clone());
    tasks.spawn(follow_signals(signals, control, reloader));
    if config.session.is_local() {
        local::ensure(&options.places).await.map_err(NoAgent::io("start the local session service"))?;
    }
    let (upstream, backend) = upstream::connect(settings::upstream(config, &options.places)?)?;
    let (keeper, mut events) = keeper::attach(KeeperPlace { dir: place.dir.clone() }, keeper_mode(config)?);
    let registry = frontends::registry(&settings::frontends(config, place));
    let want = registry.iter().flat_map(|frontend| frontend.sockets()).map(listener).collect();
    let Some((bound, early)) = sockets(&keeper, want, &mut events, orders, place).await? else { return Ok(None) };
    let env: BTreeMap<_, _> = registry.iter().flat_map(|frontend| frontend.env(&bound)).collect();
    let hosts = settings::hosts(config, seen(config, &upstream).await);
    let entropy: [u8; 32] = rand::random();
    let seed = u64::from_le_bytes(std::array::from_fn(|i| entropy[i]));
    let found = settings::Found { ports: ports.numbers(), frontends: env, hosts, seed };
    let _ = reloading.send(Some(found.clone()));
    Ok(Some(Ground { upstream, backend, keeper, events, early, registry, bound, found, entropy, tasks }))
}

type Woken = (Core, Vec<Effect>, journal::Writer, mpsc::UnboundedReceiver<JournalFact>);

/// The core with what it remembers.
fn wake(config: &AgentConfig, place: &AgentPlace, ground: &Ground) -> Result<Woken, NoAgent> {
    let settings = settings::core(config, place, &ground.found)?;
    let now = clock::now();
    let path = place.journal();
    let trouble = |source| NoAgent::Journal { path: path.clone(), source };
    let opened = journal::open(&path, now.wall).map_err(trouble)?;
    let memory = match (opened.text, opened.aside) {
        (Some(text), _) => Memory::Journal(text),
        (None, Some(aside)) => {
            Memory::SetAside { why: format!("{}; it is kept as {}", aside.why, aside.path.display()) }
        }
        (None, None) => Memory::Fresh,
    };
    let (core, first) = Core::new(settings, Restored { memory, entropy: ground.entropy }, now);
    let (journal, facts) = opened.journal.start().map_err(trouble)?;
    Ok((core, first, journal, facts))
}

/// Where the keeper comes from, and how it is started.
fn keeper_mode(config: &AgentConfig) -> Result<Mode, NoAgent> {
    match config.keeper.mode {
        KeeperMode::Connect => Ok(Mode::Connect),
        KeeperMode::Spawn => {
            let own = std::env::current_exe().map_err(NoAgent::io("find this program's own file"))?;
            // The small binary, where it lies beside this one: the same code with less around it.
            let small = own.with_file_name("gameside-keeper");
            let (program, mut args) =
                if small.is_file() { (small, Vec::new()) } else { (own, vec![OsString::from("keeper")]) };
            args.extend(keeper_args(config));
            Ok(Mode::Spawn(SpawnKeeper { program, args }))
        }
    }
}

/// What `[keeper]` says, as the keeper's command line.
pub fn keeper_args(config: &AgentConfig) -> Vec<OsString> {
    let keeper = &config.keeper;
    let mut args: Vec<OsString> = Vec::new();
    let mut add = |option: &str, value: String| args.extend([option.into(), value.into()]);
    if let Some(user) = &keeper.user {
        add("--user", user.clone());
    }
    if let Some(group) = &keeper.group {
        add("--group", group.clone());
    }
    for root in &keeper.executable_roots {
        add("--executable-root", root.display().to_string());
    }
    for (name, value) in &keeper.limits {
        add("--limit", format!("{name}={value}"));
    }
    let all_files = keeper.log_size.0.saturating_mul(u64::from(keeper.log_files.max(1)));
    add("--log-cap", Size(all_files).to_string());
    add("--log-files", keeper.log_files.to_string());
    if let Some(span) = &keeper.unattended {
        add("--unattended", span.to_string());
    }
    args
}

fn listener(wanted: frontends::Wanted) -> ListenerSpec {
    let address = match wanted.place {
        Place::Tcp(address) => ListenerAddress::Tcp(address),
        Place::Unix(path, mode) => ListenerAddress::Unix(path, mode),
    };
    ListenerSpec { name: wanted.name, address }
}

/// The sockets that the keeper holds for us, and what it said meanwhile. A keeper that isn't there is waited for.
async fn sockets(
    keeper: &Keeper,
    want: Vec<ListenerSpec>,
    events: &mut mpsc::Receiver<KeeperEvent>,
    orders: &mut mpsc::Receiver<Control>,
    place: &AgentPlace,
) -> Result<Option<(Vec<Bound>, VecDeque<KeeperEvent>)>, NoAgent> {
    let mut early = VecDeque::new();
    let mut asking = Box::pin(keeper.listeners(want.clone()));
    loop {
        tokio::select! {
            answer = &mut asking => match answer {
                Ok(sockets) => {
                    let bound = sockets.into_iter().map(|(name, fd)| Bound { name, fd }).collect();
                    return Ok(Some((bound, early)));
                }
                Err(keeper::KeeperError::Away { .. }) => asking = Box::pin(keeper.listeners(want.clone())),
                Err(error) => return Err(error.into()),
            },
            Some(event) = events.recv() => match event {
                KeeperEvent::Fact(KeeperFact::Incompatible { why }) => {
                    return Err(NoAgent::Incompatible { dir: place.dir.clone(), why });
                }
                KeeperEvent::Fact(KeeperFact::Superseded) => {
                    return Err(NoAgent::Superseded { dir: place.dir.clone() });
                }
                other => {
                    if let KeeperEvent::Fact(KeeperFact::Away { why }) = &other {
                        tracing::warn!(why, "waiting for the keeper");
                    }
                    early.push_back(other);
                }
            },
            Some(order) = orders.recv() => if matches!(order, Control::Terminate) {
                return Ok(None);
            },
        }
    }
}

/// The address under which the service sees us, where the user wants it asked and nothing better is configured.
async fn seen(config: &AgentConfig, upstream: &Upstream) -> Option<std::net::IpAddr> {
    if !config.addresses.connection_info || config.addresses.public.is_some() {
        return None;
    }
    match tokio::time::timeout(Duration::from_secs(5), upstream.connection_info()).await {
        Ok(Ok(address)) => Some(address),
        Ok(Err(error)) => {
            tracing::warn!(%error, "the session service didn't say from which address it sees us");
            None
        }
        Err(_) => {
            tracing::warn!("the session service took too long to say from which address it sees us");
            None
        }
    }
}

/// What happened before, so that it can be read back, and its last number.
fn timeline(place: &AgentPlace) -> (Arc<Timeline>, u64) {
    let past = chronicle::read_back(&place.timeline(), frontends::timeline::RETENTION);
    let before = past.first().map_or(0, |entry| entry.seq.saturating_sub(1));
    let seq = past.last().map_or(0, |entry| entry.seq);
    let timeline = Timeline::new(before);
    for entry in past {
        timeline.push(entry);
    }
    (Arc::new(timeline), seq)
}

fn operator_token(config: &AgentConfig, place: &AgentPlace) -> Result<SecretString, NoAgent> {
    let path = config.api.operator_token_file.clone().unwrap_or_else(|| place.operator_token());
    Ok(SecretString::from(files::secret(&path)?))
}

fn eyes(config: &AgentConfig, findings: mpsc::Sender<crate::probes::Finding>, keeper: &Keeper) -> Eyes {
    let readiness = config.game.readiness.clone();
    let log = Log::compile(&config.log_patterns, &readiness).unwrap_or_else(|faults| {
        for fault in &faults {
            tracing::warn!(%fault, "the log patterns are not used");
        }
        Log::compile(&LogPatterns::default(), &Readiness::default()).expect("no pattern can't be wrong")
    });
    let keeper = keeper.clone();
    let exec: Exec = Arc::new(move |argv, timeout| {
        let keeper = keeper.clone();
        async move {
            let result = keeper.exec(argv, timeout).await.map_err(|error| error.to_string())?;
            let code = match result.status {
                ExecStatus::Exited(code) => code,
                ExecStatus::Signaled(signal) => 128 + signal,
                ExecStatus::TimedOut => return Err(format!("took longer than {timeout:?}")),
                ExecStatus::NotStarted(why) => return Err(why),
            };
            Ok(Ran { code, output: result.output })
        }
        .boxed()
    });
    let port = config.addresses.port.clone();
    Eyes { probe: config.probe.clone(), readiness, log, port, findings, exec: ExecHandle(exec) }
}

fn hooks(config: &AgentConfig, place: &AgentPlace) -> Hooks {
    let (hooks, log) = (&config.hooks, settings::game_log(place));
    Hooks::new(config.agent.name.clone(), hooks.on_exit.clone(), hooks.timeout.get(), log)
}

fn identity(config: &AgentConfig, api: Option<&str>, places: &Places) -> Identity {
    let local = || local::SessionsRecord::read(places).map(|record| record.url);
    let agent = AgentStatus {
        pid: std::process::id(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        started: Some(clock::wall()),
        api: api.map(str::to_owned),
        ..AgentStatus::default()
    };
    let sessions_url = if config.session.is_local() { local() } else { Some(config.session.url.clone()) };
    Identity { agent, sessions_url }
}

/// How others find this agent.
fn register(place: &AgentPlace, api: Option<&str>) -> Result<(), NoAgent> {
    let record = AgentRecord {
        name: place.name.clone(),
        state_dir: place.dir.clone(),
        pid: std::process::id(),
        api: api.map(str::to_owned),
        socket: Some(place.api_socket()),
    };
    record.write(&place.record).map_err(NoAgent::io("note where this agent is"))
}

/// Starts the local session service again when it is gone, and notes where it is.
async fn keep_local_service(
    places: Places,
    mut status: watch::Receiver<Arc<Status>>,
    identity: watch::Sender<Identity>,
) {
    loop {
        let backend = status.borrow_and_update().backend.clone();
        let url = local::SessionsRecord::read(&places).map(|record| record.url);
        identity.send_if_modified(|identity| {
            let changed = url.is_some() && identity.sessions_url != url;
            if changed {
                identity.sessions_url.clone_from(&url);
            }
            changed
        });
        let away = !matches!(backend, Backend::Up);
        if away && let Err(error) = local::ensure(&places).await {
            tracing::warn!(%error, "the local session service could not be started");
        }
        let again = async {
            if away { tokio::time::sleep(Duration::from_secs(1)).await } else { std::future::pending().await }
        };
        tokio::select! {
            changed = status.wait_for(|status| status.backend != backend) => if changed.is_err() { return },
            () = again => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::PathBuf;

    #[test]
    fn the_keeper_is_told_what_is_configured() {
        let mut config = AgentConfig::default();
        config.keeper.user = Some("game".into());
        config.keeper.executable_roots = vec![PathBuf::from("/srv/game")];
        config.keeper.limits.insert("nofile".into(), 4096);
        let args: Vec<_> = keeper_args(&config).into_iter().map(|arg| arg.into_string().unwrap()).collect();
        let has = |option: &str, value: &str| args.windows(2).any(|pair| pair == [option, value]);
        assert!(
            has("--user", "game") && has("--executable-root", "/srv/game") && has("--limit", "nofile=4096"),
            "{args:?}"
        );
    }
}
