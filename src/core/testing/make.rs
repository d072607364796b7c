//! What tests are made of, each with what most of them want.

use crate::core::settings::{Addresses, Launch, SessionSettings, Settings};
use crate::model::{
    allocation::{Allocation, ProviderKind},
    ids::{AllocationId, InstanceId, PlayerUuid, RunNumber, SessionId},
    player::{PlayerStatus, SessionPlayer},
    policy::{AdmissionPolicy, Readiness, ReadyBy, ReportBy, Reuse, Start},
    process::{ExitReport, ExitStatus, ProcessStats, StopAction, StopStep},
    session::{BackfillInfo, HostType, InstanceInfo, JoinStatus, Session, StartupParams},
    time::{BootId, Instant, Now, Timestamp},
};
use std::{collections::BTreeMap, time::Duration};

pub(crate) fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// A sensible configuration; tests change what they are about.
pub(crate) fn settings() -> Settings {
    Settings {
        name: "test".into(),
        kind: crate::model::policy::GameKind::Match,
        seed: 1,
        provider: ProviderKind::Auto,
        launch: Launch {
            start: Start::OnAllocation,
            reuse: Reuse::default(),
            command: vec!["/game".into(), "-port={{ports.game}}".into(), "{{map}}".into()],
            env: BTreeMap::new(),
            allow: BTreeMap::new(),
            dir: None,
            startup_file: "/state/game/startup.json".into(),
            forking: false,
            version: Some("1.2.3".parse().unwrap()),
            ports: [("game".into(), 7777)].into(),
            frontends: BTreeMap::new(),
        },
        readiness: Readiness { by: ReadyBy::Sdk, ..Readiness::default() },
        restart: crate::model::policy::Restart::default(),
        recycle: crate::model::policy::Recycle::default(),
        stop_steps: vec![
            StopStep { action: StopAction::Signal(15), wait: secs(10) },
            StopStep { action: StopAction::Kill, wait: secs(5) },
        ],
        unattended: None,
        guards: crate::model::policy::Guards::default(),
        drain: crate::model::policy::Drain::default(),
        session: SessionSettings {
            session_type: "default".into(),
            region: None,
            startup_params: Some(StartupParams { map: "arena".into(), ..StartupParams::default() }),
            teams: vec![2, 2],
            joinable: true,
            own_admission: AdmissionPolicy::Members,
            admission: AdmissionPolicy::Members,
            custom_data: BTreeMap::new(),
            report: ReportBy::Agent,
            on_lost: None,
            join_token: false,
            instance_data: BTreeMap::new(),
            join_data: BTreeMap::new(),
            browser_data: BTreeMap::new(),
        },
        players: crate::model::policy::Players::default(),
        health: crate::model::policy::Health::default(),
        sdk_pings: None,
        backfill: crate::model::policy::Backfill::default(),
        addresses: Addresses {
            public: None,
            private: Some("10.0.0.5".into()),
            public_format: "{host}:{port}".into(),
            private_format: "{host}:{port}".into(),
            port: "game".into(),
        },
        poll: secs(10),
    }
}

pub(crate) fn at(mono: Duration) -> Now {
    let wall = Timestamp::from_unix_millis(1_800_000_000_000).unwrap().plus(mono);
    Now { boot: mono, mono: Instant(mono), wall, boot_id: BootId(uuid::Uuid::from_u128(1)) }
}

pub(crate) fn allocation(id: &str, session: Option<&str>) -> Allocation {
    Allocation {
        allocation_id: AllocationId::new(id).unwrap(),
        session_id: session.map(|id| SessionId::new(id).unwrap()),
        startup_params: None,
        players: Vec::new(),
        expires: None,
    }
}

pub(crate) fn instance(
    id: InstanceId,
    allocation: Option<&str>,
    join_status: JoinStatus,
    created: Timestamp,
) -> InstanceInfo {
    InstanceInfo {
        allocation_id: allocation.map(|id| AllocationId::new(id).unwrap()),
        instance_id: id,
        host_type: HostType::Dedicated,
        host_player_id: None,
        host_player_uuid: None,
        host_dedicated_process_id: None,
        host_dedicated_server_id: None,
        join_status,
        join_params: None,
        instance_startup_params: Some(StartupParams { map: "theirs".into(), ..StartupParams::default() }),
        version: None,
        created,
        custom_data: BTreeMap::new(),
        instance_health: None,
        match_making_profile_id: None,
        match_id: None,
    }
}

pub(super) fn session(id: SessionId) -> Session {
    let team = |id| crate::model::player::SessionTeam {
        players: Vec::new(),
        max_size: 2,
        team_id: Some(id),
        ticket_ids: None,
        custom_data: None,
    };
    Session {
        session_type: "default".into(),
        session_id: id,
        instance: None,
        current_match: None,
        backfill: None,
        browser: None,
        joinable: true,
        joinability: None,
        teams: vec![team(0), team(1)],
        platform_session: Vec::new(),
        platform_scouts: BTreeMap::new(),
        custom_data: BTreeMap::new(),
        created: Timestamp::EPOCH,
        region_id: None,
        created_by_matchmaking: false,
        short_code: None,
        allow_new_members: None,
        lan: false,
        allow_sanctioned_players: false,
    }
}

pub(crate) fn backfill(id: &str) -> BackfillInfo {
    BackfillInfo {
        backfill_id: crate::model::ids::BackfillId::new(id).unwrap(),
        extensions: BTreeMap::from([("k".into(), "v".into())]),
    }
}

/// What the first run uses: this much memory, without a limit or pressure.
pub(crate) fn stats(memory: u64) -> ProcessStats {
    let (memory_limit, memory_pressure, cpu_pressure) = (None, None, None);
    ProcessStats {
        run: RunNumber(1),
        memory,
        memory_limit,
        cpu_us: 0,
        processes: 1,
        memory_pressure,
        cpu_pressure,
        frozen: false,
    }
}

pub(crate) fn exit(run: RunNumber, status: ExitStatus, started: Timestamp, ended: Timestamp) -> ExitReport {
    ExitReport::new(run, status, started, ended)
}

/// A member of a session.
pub(crate) fn member(number: u128) -> SessionPlayer {
    SessionPlayer {
        player_id: None,
        player_uuid: PlayerUuid(uuid::Uuid::from_u128(number)),
        status: PlayerStatus::Member,
        inviting_player_uuid: None,
        source_session_id: None,
        custom_data: [].into(),
        version: None,
        client_settings: None,
        crossplay_preferences: None,
        invited: None,
        joined: None,
        session_permissions: Vec::new(),
    }
}
