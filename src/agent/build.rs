//! Puts an agent together: on the edges of [`bootstrap`] come the core, the driver, and the edges
//! that need them.

use super::{
    NoAgent, Options,
    bootstrap::{Bootstrap, bootstrap},
    config::AgentConfig,
    console_quit::ConsoleQuit,
    driver::{Driver, Identity},
    effect_executor::{EffectExecutor, ExecHandle, ExecutorState, WatchConfig},
    hooks::Hooks,
    inbox::{Arrival, Control, Inbox, QUEUE},
    journal, local,
    log_reader::{LogPlace, OwnLog},
    ports::GamePorts,
    provide::Provider,
    record::AgentRecord,
    settings,
    timeline_writer::{self, TimelineWriter},
};
use crate::{
    core::{
        Core,
        io::{Effect, JournalFact, SavedState},
    },
    frontends::{
        self, Events, Timeline, TokenStore,
        native::{self, OperatorShared},
    },
    gateway::client::{self, Introduce, Levels},
    host::{
        alarm::Alarm,
        clock, files,
        paths::{AgentPlace, Places},
    },
    keeper::{ExecStatus, Keeper},
    model::{
        calls::Backend,
        policy::Readiness,
        probe::LogPatterns,
        status::{AgentStatus, Status},
    },
    probes::{CommandError, CommandOutput, CommandRunner, Log},
};
use futures_util::FutureExt as _;
use secrecy::SecretString;
use std::{
    sync::{Arc, Mutex},
    time::Duration,
};
use tokio::{
    sync::{mpsc, watch},
    task::JoinSet,
};

/// An agent ready to be driven.
#[derive(Debug)]
pub(crate) struct Built {
    pub driver: Driver,
    /// What the core wants done first.
    pub first: Vec<Effect>,
    /// The operators' API and the link to the SDK gateway; they end when this is dropped.
    pub served: JoinSet<()>,
    /// Signals, and whoever looks after the local session service.
    pub tasks: JoinSet<()>,
}

/// `None`: told to end before there was a keeper.
#[allow(clippy::too_many_lines, reason = "a list of parts, each made and connected once")]
pub(super) async fn build(
    options: &Options,
    place: &AgentPlace,
    ports: GamePorts,
    control: mpsc::Sender<Control>,
    mut orders: mpsc::Receiver<Control>,
) -> Result<Option<Built>, NoAgent> {
    let config = &options.loaded.config;
    let Some(mut base) = bootstrap(options, place, &ports, control, &mut orders).await? else { return Ok(None) };
    let api = base.operators.tcp.local_addr().map_err(NoAgent::io("find the operators' address"))?;
    let api = format!("http://{api}");
    let (core, first, journal, journal_facts) = wake(config, place, &base)?;

    let (status, status_reader) = watch::channel(Arc::new(core.status()));
    let provider = settings::provider(config, &base.found)?;
    let (provider, provider_events) = Provider::new(provider, base.session_client.clone());
    let ((answers, answered), (findings, found_out)) = (mpsc::channel(64), mpsc::channel(64));
    let (asking, asked) = mpsc::channel(QUEUE);
    let (liveness, liveness_questions) = mpsc::channel(16);
    let ((examining, examined), (log_news, log)) = (mpsc::channel(4), mpsc::channel(64));
    let (timeline, seq) = timeline(place);
    let tokens = Arc::new(TokenStore::new(operator_token(config, place)?));
    let game_events = Arc::new(Events::new(files::random_hex()[..16].to_owned()));
    let operators = OperatorShared {
        requests: asking,
        liveness,
        status: status_reader.clone(),
        events: Arc::clone(&game_events),
        timeline: Arc::clone(&timeline),
        tokens: tokens.clone(),
        api_counters: Arc::default(),
    };
    let (game_run, run) = watch::channel(None);
    let (heard, known) = watch::channel(core.heard());
    let levels = Levels {
        settings: settings::frontends(config, place, &base.found.ports)?,
        status: status_reader.clone(),
        events: Arc::clone(&game_events),
        run,
        heard: known,
    };
    let mut served = JoinSet::new();
    let context = settings::launch_context(config, place, &base.found);
    let launch_extensions =
        base.registry.iter().filter_map(|frontend| frontend.launch_extension(&base.bound, &context)).collect();
    let (gateway, gateway_events) = client::start(introduce(&base.keeper), base.bound, levels, &mut served);
    let executor = EffectExecutor {
        answers,
        gateway,
        game_run,
        provider,
        journal,
        events: game_events,
        timeline,
        timeline_file: TimelineWriter::start(&place.timeline()).map_err(NoAgent::io("open the timeline"))?,
        viewer: options.viewer.clone(),
        tokens,
        game_secret: SecretString::from(files::secret(&place.game_secret())?),
        launch_extensions,
        watch: watch_config(config, place, findings, &base.keeper),
        log_news,
        hooks: hooks(config, place),
        console_quit: ConsoleQuit::new(config, &base.found.ports)?,
        ports: Arc::new(Mutex::new(ports)),
        examining,
        state: ExecutorState { seq, ..ExecutorState::default() },
        keeper: base.keeper,
        session_client: base.session_client,
    };
    native::serve_operators(base.operators, operators, &mut served).map_err(NoAgent::io("serve operators"))?;
    let (identity, identity_reader) = watch::channel(identity(config, &api, &options.places));
    if config.session.is_local() {
        base.tasks.spawn(keep_local_service(options.places.clone(), status_reader, identity));
    }
    register(place, &api)?;
    let early = base.early.into_iter().map(Arrival::Keeper).collect();
    let inbox = Inbox {
        early,
        keeper: base.events,
        journal: journal_facts,
        answers: answered,
        backend: base.backend,
        provider: provider_events,
        gateway: gateway_events,
        operator: asked,
        liveness: liveness_questions,
        found: found_out,
        log,
        keeper_waits: false,
        examined,
        control: orders,
    };
    let driver = Driver {
        core,
        inbox,
        executor,
        status,
        identity: identity_reader,
        heard,
        clock: clock::now,
        alarm: Alarm::new().ok(),
    };
    Ok(Some(Built { driver, first, served, tasks: base.tasks }))
}

/// Has the keeper introduce this agent to the SDK gateway.
fn introduce(keeper: &Keeper) -> Introduce {
    let keeper = keeper.clone();
    Box::new(move || {
        let keeper = keeper.clone();
        async move { keeper.gateway().await.map(|(_, socket)| socket).map_err(|error| error.to_string()) }.boxed()
    })
}

type RestoredCore = (Core, Vec<Effect>, journal::Writer, mpsc::UnboundedReceiver<JournalFact>);

/// The core with what it remembers.
fn wake(config: &AgentConfig, place: &AgentPlace, base: &Bootstrap) -> Result<RestoredCore, NoAgent> {
    let settings = settings::core(config, place, &base.found)?;
    let now = clock::now();
    let path = place.journal();
    let trouble = |source| NoAgent::Journal { path: path.clone(), source };
    let opened = journal::open(&path, now.wall).map_err(trouble)?;
    let saved = match (opened.saved, opened.aside) {
        (Some(saved), _) => SavedState::Journal(saved),
        (None, Some(aside)) => {
            let why = format!("{}; it is kept as {}", aside.why, aside.path.display());
            SavedState::SetAside { why, text: aside.text }
        }
        (None, None) => SavedState::Fresh,
    };
    let (core, first) = Core::new(settings, saved, base.entropy, now);
    let (journal, facts) = opened.journal.start().map_err(trouble)?;
    Ok((core, first, journal, facts))
}

/// What happened before, so that it can be read back, and its last number.
fn timeline(place: &AgentPlace) -> (Arc<Timeline>, u64) {
    let past = timeline_writer::read_back(&place.timeline(), frontends::timeline::RETENTION);
    let before = past.first().map_or(0, |entry| entry.seq.saturating_sub(1));
    let seq = past.last().map_or(0, |entry| entry.seq);
    let timeline = Timeline::new(before);
    for entry in past {
        timeline.push(entry);
    }
    (Arc::new(timeline), seq)
}

fn operator_token(config: &AgentConfig, place: &AgentPlace) -> Result<SecretString, NoAgent> {
    Ok(SecretString::from(files::secret(&settings::operator_token(config, place))?))
}

fn watch_config(
    config: &AgentConfig,
    place: &AgentPlace,
    findings: mpsc::Sender<crate::probes::Finding>,
    keeper: &Keeper,
) -> WatchConfig {
    let readiness = config.readiness();
    let log = Log::compile(&config.log_patterns, &readiness).unwrap_or_else(|faults| {
        for fault in &faults {
            tracing::warn!(%fault, "the log patterns are not used");
        }
        Log::compile(&LogPatterns::default(), &Readiness::default()).expect("no pattern can't be wrong")
    });
    let keeper = keeper.clone();
    let exec: CommandRunner = Arc::new(move |argv, timeout| {
        let keeper = keeper.clone();
        async move {
            let result =
                keeper.exec(argv, timeout).await.map_err(|error| CommandError::Unreachable(error.to_string()))?;
            let code = match result.status {
                ExecStatus::Exited(code) => code,
                ExecStatus::Signaled(signal) => 128 + signal,
                ExecStatus::TimedOut => return Err(CommandError::TimedOut(timeout)),
                ExecStatus::NotStarted(why) => return Err(CommandError::NotStarted(why)),
            };
            Ok(CommandOutput { code, output: result.output })
        }
        .boxed()
    });
    let (port, exec) = (config.addresses.port.clone(), ExecHandle(exec));
    let place = match settings::own_log(config) {
        Some(path) => LogPlace::Own(Arc::new(OwnLog::new(path))),
        None => LogPlace::Keepers(place.logs()),
    };
    WatchConfig { probe: config.probe.clone(), readiness, log, place, port, findings, exec }
}

fn hooks(config: &AgentConfig, place: &AgentPlace) -> Hooks {
    Hooks::new(config.agent.name.clone(), &config.hooks, settings::game_log(place))
}

fn identity(config: &AgentConfig, api: &str, places: &Places) -> Identity {
    let local = || local::SessionsRecord::read(places).map(|record| record.url);
    let agent = AgentStatus {
        pid: std::process::id(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        started: Some(clock::wall()),
        api: Some(api.to_owned()),
        ..AgentStatus::default()
    };
    let sessions_url = if config.session.is_local() { local() } else { Some(config.session.url.clone()) };
    Identity { agent, sessions_url }
}

/// How others find this agent.
fn register(place: &AgentPlace, api: &str) -> Result<(), NoAgent> {
    let record = AgentRecord {
        name: place.name.clone(),
        state_dir: place.dir.clone(),
        pid: std::process::id(),
        api: Some(api.to_owned()),
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
    let (mut started, mut told) = (None, None);
    loop {
        let backend = status.borrow_and_update().backend.clone();
        // A service that can't run says why in its own log, which nobody reads.
        let why = started.and_then(|before| local::why_ended(&places, before));
        if let Some(why) = why.filter(|why| told.as_ref() != Some(why)) {
            tracing::warn!(why, "the local session service has ended");
            told = Some(why);
        }
        let url = local::SessionsRecord::read(&places).map(|record| record.url);
        identity.send_if_modified(|identity| {
            let changed = url.is_some() && identity.sessions_url != url;
            if changed {
                identity.sessions_url.clone_from(&url);
            }
            changed
        });
        let away = !matches!(backend, Backend::Up);
        started = away.then(|| local::log_length(&places));
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
