//! Starts the edges that have to be there before the core: signals, the session client, the keeper,
//! and the sockets that the keeper holds.
//!
//! ```text
//!   signals ─► local session service ─► session client ─► keeper ─► its sockets ─► addresses
//! ```
//!
//! In this order, so that a signal is heard while the keeper is waited for, however long that
//! takes.

use super::{
    NoAgent, Options, config::AgentConfig, follow_signals, inbox::Control, local, ports::GamePorts, reload::Reloader,
    settings,
};
use crate::{
    frontends::{self, BindAddress, BoundSocket, Frontend, native::OperatorSockets},
    host::{paths::AgentPlace, signals::Signals, socket},
    keeper::{
        self, Keeper, KeeperEvent, KeeperPlace, ListenerAddress, ListenerSpec, Mode, SpawnKeeper, config::KeeperMode,
    },
    model::{calls::Backend, game::IfTaken, keeper::KeeperFact},
    session_api::agent::{self, SessionClient},
};
use std::{
    collections::{BTreeMap, VecDeque},
    ffi::OsString,
    net::TcpListener,
    time::Duration,
};
use tokio::{sync::mpsc, task::JoinSet};

/// The edges that everything else stands on.
pub(super) struct Bootstrap {
    pub session_client: SessionClient,
    pub backend: mpsc::Receiver<Backend>,
    pub keeper: Keeper,
    pub events: mpsc::Receiver<KeeperEvent>,
    /// What the keeper said before there was a driver.
    pub early: VecDeque<KeeperEvent>,
    pub registry: Vec<Box<dyn Frontend>>,
    pub bound: Vec<BoundSocket>,
    pub operators: OperatorSockets,
    pub found: settings::Found,
    pub entropy: [u8; 32],
    pub tasks: JoinSet<()>,
}

/// Signals, session service, keeper, sockets, addresses: in this order, so that a signal is heard while the keeper is waited for.
pub(super) async fn bootstrap(
    options: &Options,
    place: &AgentPlace,
    ports: &GamePorts,
    control: mpsc::Sender<Control>,
    orders: &mut mpsc::Receiver<Control>,
) -> Result<Option<Bootstrap>, NoAgent> {
    let config = &options.loaded.config;
    let mut tasks = JoinSet::new();
    let signals = Signals::listen().map_err(NoAgent::io("listen for signals"))?;
    let (reloader, reloading) = Reloader::new(options, place.clone());
    tasks.spawn(follow_signals(signals, control, reloader));
    if config.session.is_local() {
        local::ensure(&options.places).await.map_err(NoAgent::io("start the local session service"))?;
    }
    let (session_client, backend) = agent::connect(&settings::session_client(config, &options.places)?)?;
    let (keeper, mut events) =
        keeper::attach(KeeperPlace { dir: place.dir.clone(), note: place.keeper_note() }, keeper_mode(config)?);
    let registry = frontends::registry(&settings::frontends(config, place, &ports.numbers())?);
    let want = registry.iter().flat_map(|frontend| frontend.sockets()).map(listener).collect();
    let Some((bound, early)) = sockets(&keeper, want, &mut events, orders, place).await? else { return Ok(None) };
    let operators = operator_sockets(config, place)?;
    let env: BTreeMap<_, _> = registry.iter().flat_map(|frontend| frontend.env(&bound)).collect();
    let hosts = settings::hosts(config, seen(config, &session_client).await);
    let entropy: [u8; 32] = rand::random();
    let seed = u64::from_le_bytes(std::array::from_fn(|i| entropy[i]));
    let version = settings::version(config)?;
    let found = settings::Found { ports: ports.numbers(), frontends: env, hosts, version, seed };
    let _ = reloading.send(Some(found.clone()));
    Ok(Some(Bootstrap {
        session_client,
        backend,
        keeper,
        events,
        early,
        registry,
        bound,
        operators,
        found,
        entropy,
        tasks,
    }))
}

/// Where operators call. A socket file that is there was left over: `agent.lock` is ours, so no other agent serves it.
fn operator_sockets(config: &AgentConfig, place: &AgentPlace) -> Result<OperatorSockets, NoAgent> {
    let unix = socket::listen(&place.operator_socket(), Some(0o600));
    let unix = unix.map_err(NoAgent::io("listen on operator.sock in the agent's state directory"))?;
    let address = config.api.operator_listen;
    let tcp = TcpListener::bind(address).map_err(|source| NoAgent::OperatorListen { address, source })?;
    Ok(OperatorSockets { tcp, unix })
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
            args.extend(config.keeper.args());
            Ok(Mode::Spawn(SpawnKeeper { program, args }))
        }
    }
}

fn listener(spec: frontends::SocketSpec) -> ListenerSpec {
    let address = match spec.address {
        BindAddress::Tcp(address) => ListenerAddress::Tcp(address),
        BindAddress::Udp(address) => ListenerAddress::Udp(address),
        BindAddress::Unix(path, mode) => ListenerAddress::Unix(path, mode),
    };
    ListenerSpec { name: spec.name, address, or_any: spec.if_taken == IfTaken::Move }
}

/// The sockets that the keeper holds for us, and what it said meanwhile. A keeper that isn't there is waited for.
async fn sockets(
    keeper: &Keeper,
    want: Vec<ListenerSpec>,
    events: &mut mpsc::Receiver<KeeperEvent>,
    orders: &mut mpsc::Receiver<Control>,
    place: &AgentPlace,
) -> Result<Option<(Vec<BoundSocket>, VecDeque<KeeperEvent>)>, NoAgent> {
    let mut early = VecDeque::new();
    let mut asking = Box::pin(keeper.listeners(want.clone()));
    loop {
        tokio::select! {
            answer = &mut asking => match answer {
                Ok(sockets) => {
                    let bound = sockets.into_iter().map(|(name, fd)| BoundSocket { name, fd }).collect();
                    return Ok(Some((bound, early)));
                }
                Err(keeper::KeeperError::Away { .. }) => asking = Box::pin(keeper.listeners(want.clone())),
                Err(error) => {
                    // Why the keeper can't be asked any more was said before that.
                    let last = std::iter::from_fn(|| events.try_recv().ok()).find_map(|event| no_keeper(&event, place));
                    return Err(last.unwrap_or_else(|| error.into()));
                }
            },
            Some(event) = events.recv() => {
                if let Some(error) = no_keeper(&event, place) {
                    return Err(error);
                }
                if let KeeperEvent::Fact(KeeperFact::Away { why }) = &event {
                    tracing::warn!(why, "waiting for the keeper");
                }
                early.push_back(event);
            }
            Some(order) = orders.recv() => if matches!(order, Control::Terminate) {
                return Ok(None);
            },
        }
    }
}

/// Why this keeper can never be this agent's.
fn no_keeper(event: &KeeperEvent, place: &AgentPlace) -> Option<NoAgent> {
    let dir = place.dir.clone();
    match event {
        KeeperEvent::Fact(KeeperFact::Incompatible { why }) => Some(NoAgent::Incompatible { dir, why: why.clone() }),
        KeeperEvent::Fact(KeeperFact::Superseded) => Some(NoAgent::Superseded { dir }),
        KeeperEvent::Fact(_)
        | KeeperEvent::Lost(_)
        | KeeperEvent::Output { .. }
        | KeeperEvent::OutputKept { .. }
        | KeeperEvent::Refused { .. } => None,
    }
}

/// The address under which the service sees us, where the user wants it asked and nothing better is configured.
async fn seen(config: &AgentConfig, session_client: &SessionClient) -> Option<std::net::IpAddr> {
    if !config.addresses.connection_info || config.addresses.public.is_some() {
        return None;
    }
    match tokio::time::timeout(Duration::from_secs(5), session_client.connection_info()).await {
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
