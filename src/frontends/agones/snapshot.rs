//! The GameServer as the game is shown it: made from the agent's status and the SDK state.
//!
//! | of a GameServer | is |
//! |---|---|
//! | name, namespace, uid | the agent's name, `default`, an id of the run that stays the same under the next agent |
//! | resource version | goes up with every change, also from one agent to the next |
//! | creation, deletion | the start of the process; the deadline of a drain or stop |
//! | labels, annotations | the game's own; besides, session, instance, allocation, match, map and mode as `gameside/…`, and the custom data of the startup parameters |
//! | address, ports | those that players reach |

use super::{GameServerState, Settings, json, proto, state::AgentView, state::SdkState};
use crate::{
    frontends::events::Levels,
    model::{
        game::GameNotice,
        ids::{AllocationId, InstanceId, MatchId, SessionId},
        status::{PhaseName, Status},
        time::Timestamp,
    },
};
use bytes::Bytes;
use prost::Message as _;
use std::{collections::BTreeMap, sync::OnceLock};
use uuid::Uuid;

/// One revision of the GameServer. JSON and protobuf are written once each, when somebody first reads them.
#[derive(Debug)]
pub(crate) struct Snapshot {
    pub game_server: proto::GameServer,
    /// The allocation, if it shows as allocated.
    pub allocated: Option<AllocationId>,
    json: OnceLock<Bytes>,
    line: OnceLock<Bytes>,
    protobuf: OnceLock<Bytes>,
}

impl Snapshot {
    pub(crate) fn new(game_server: proto::GameServer, allocated: Option<AllocationId>) -> Self {
        Snapshot { game_server, allocated, json: OnceLock::new(), line: OnceLock::new(), protobuf: OnceLock::new() }
    }

    /// Of `GET /gameserver`.
    pub(crate) fn json(&self) -> Bytes {
        self.json.get_or_init(|| json::game_server(&self.game_server).to_string().into()).clone()
    }

    /// Of the watch: `{"result":…}` and the end of the line.
    pub(crate) fn line(&self) -> Bytes {
        let line = || {
            let json = self.json();
            [b"{\"result\":".as_slice(), json.as_ref(), b"}\n".as_slice()].concat().into()
        };
        self.line.get_or_init(line).clone()
    }

    /// The message of the gRPC wire.
    pub(crate) fn protobuf(&self) -> Bytes {
        self.protobuf.get_or_init(|| self.game_server.encode_to_vec().into()).clone()
    }

    /// Whether it shows the same, whatever its version.
    pub(crate) fn shows(&self, other: &proto::GameServer) -> bool {
        let meta = |server: &proto::GameServer| {
            let meta = server.object_meta.clone().unwrap_or_default();
            proto::ObjectMeta { resource_version: String::new(), ..meta }
        };
        self.game_server.status == other.status
            && self.game_server.spec == other.spec
            && meta(&self.game_server) == meta(other)
    }
}

/// What counts here of the status.
pub(crate) fn view(status: &Status) -> AgentView {
    let running = status.game.run.is_some();
    let ending = match status.phase {
        PhaseName::Closing | PhaseName::Ended => true,
        PhaseName::Idle | PhaseName::Starting | PhaseName::Serving | PhaseName::Draining => false,
    };
    AgentView {
        ready: status.game.ready,
        allocation: status.session_id.as_ref().and(status.allocation_id.clone()),
        closing: ending || !running,
        unhealthy: status.game.pings_stopped,
    }
}

/// The GameServer with that version.
pub(crate) fn game_server(
    settings: &Settings,
    status: &Status,
    levels: &Levels,
    (state, view): (&SdkState, &AgentView),
    version: String,
) -> proto::GameServer {
    let meta = proto::ObjectMeta {
        name: status.name.clone(),
        namespace: "default".to_owned(),
        uid: uid(status),
        resource_version: version,
        generation: 1,
        creation_timestamp: seconds(status.game.started.unwrap_or(status.since)),
        deletion_timestamp: deletion(status),
        annotations: annotations(status, levels, state),
        labels: state.labels.clone(),
    };
    let health = &settings.health;
    let whole = |span: std::time::Duration| i32::try_from(span.as_secs()).unwrap_or(i32::MAX);
    let health = proto::Health {
        disabled: health.disabled,
        period_seconds: whole(health.period),
        failure_threshold: i32::try_from(health.failure_threshold).unwrap_or(i32::MAX),
        initial_delay_seconds: whole(health.initial_delay),
    };
    proto::GameServer {
        object_meta: Some(meta),
        spec: Some(proto::Spec { health: Some(health) }),
        status: Some(server_status(settings, status, state, state.game_server_state(view))),
    }
}

fn server_status(settings: &Settings, status: &Status, state: &SdkState, shown: GameServerState) -> proto::Status {
    let address = |kind: &str, address: &Option<String>| {
        address.clone().map(|address| proto::Address { r#type: kind.to_owned(), address })
    };
    let players = state.players.as_ref().map(|players| proto::PlayerStatus {
        count: players.ids.len() as i64,
        capacity: players.capacity,
        ids: players.ids.clone(),
    });
    let counters = state.counters.iter().map(|(name, counter)| {
        (name.clone(), proto::CounterStatus { count: counter.count, capacity: counter.capacity })
    });
    let lists = state
        .lists
        .iter()
        .map(|(name, list)| (name.clone(), proto::ListStatus { capacity: list.capacity, values: list.values.clone() }));
    let known = settings.public.clone().or_else(|| settings.private.clone());
    proto::Status {
        state: shown.name().to_owned(),
        address: known.unwrap_or_else(|| "127.0.0.1".to_owned()),
        addresses: address("ExternalIP", &settings.public)
            .into_iter()
            .chain(address("InternalIP", &settings.private))
            .collect(),
        ports: status
            .ports
            .iter()
            .map(|(name, port)| proto::Port { name: name.clone(), port: i32::from(*port) })
            .collect(),
        players,
        counters: counters.collect(),
        lists: lists.collect(),
    }
}

/// The allocation's data, and over it the game's own.
fn annotations(status: &Status, levels: &Levels, state: &SdkState) -> BTreeMap<String, String> {
    let mut all = BTreeMap::new();
    if levels.run.is_some() && levels.run == status.game.run {
        for event in &levels.events {
            if let GameNotice::Allocated { startup_params, .. } = &event.notice {
                all.extend(startup_params.custom_data.clone());
            }
        }
    }
    let text = |id: Option<&str>| id.map(str::to_owned);
    let known = [
        ("session-id", text(status.session_id.as_ref().map(SessionId::as_str))),
        ("instance-id", text(status.instance_id.as_ref().map(InstanceId::as_str))),
        ("allocation-id", text(status.allocation_id.as_ref().map(AllocationId::as_str))),
        ("match-id", text(status.match_id.as_ref().map(MatchId::as_str))),
        ("map", status.map.clone()),
        ("mode", status.mode.clone()),
    ];
    all.extend(known.into_iter().filter_map(|(key, value)| Some((format!("gameside/{key}"), value?))));
    all.extend(state.annotations.clone());
    all
}

/// The same for every agent that looks after this run.
fn uid(status: &Status) -> String {
    let keeper = status.keeper.id.as_ref().map(ToString::to_string).unwrap_or_default();
    let run = status.game.run.map_or(0, |run| run.0);
    Uuid::new_v5(&Uuid::NAMESPACE_OID, format!("gameside/{keeper}/{run}").as_bytes()).to_string()
}

/// 0: it isn't going to be deleted.
fn deletion(status: &Status) -> i64 {
    match status.phase {
        PhaseName::Draining | PhaseName::Closing => seconds(status.deadline.unwrap_or(status.since)),
        PhaseName::Ended => seconds(status.since),
        PhaseName::Idle | PhaseName::Starting | PhaseName::Serving => 0,
    }
}

fn seconds(at: Timestamp) -> i64 {
    at.unix_millis().div_euclid(1000)
}
