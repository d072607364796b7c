//! The life of a session as the Sessions Interface tells it, through the Rust client, with the
//! agent and a real game in it; and what all of that left in the logs.

use crate::support::{
    agent::Agent,
    http, proc,
    service::Service,
    world::{PATIENCE, World},
};
use gameside::{
    client::{
        ClientError, ClientSettings, CreateSession, EventStream, JoinPolicy, JoinSession, Leaving, Matchmaking,
        Sessions, SettingsUpdate, StreamItem,
    },
    internals::session_api::{Credentials, Secret},
    model::{
        calls::Refusal,
        discovery::{Comparison, Filter, SessionSearch},
        events::{EventKind, SessionEvent},
        ids::{PlayerUuid, SessionId},
        player::PlayerStatus,
        session::{JoinStatus, Session, StartupParams},
    },
};
use serde_json::json;
use std::process::Child;

/// What must be in no log.
const PASSWORD: &str = "correct-horse-battery";
const SESSION_PASSWORD: &str = "sesame-7391-sesame";
/// Sessions that aren't listed by themselves, so that a search finds them only when they can be joined.
const QUIET: &str = "[session_types.quiet]\ncan_be_created_by_players_directly = true\n";

struct Player {
    sessions: Sessions,
    uuid: PlayerUuid,
}

impl Player {
    async fn log_in(service: &Service<'_>, name: &str) -> Self {
        let user_password = Secret::Text(format!("{name}:{PASSWORD}").into());
        let credentials = Credentials::Basic { user_password, client: None };
        let sessions = Sessions::new(ClientSettings::new(service.url().parse().unwrap(), credentials)).unwrap();
        let uuid = sessions.log_in().await.unwrap().expect("a player");
        Player { sessions, uuid }
    }

    async fn listening(&self) -> EventStream {
        let mut stream = self.sessions.events(None);
        stream.open().await.unwrap();
        stream
    }
}

/// The next event of that kind; others are passed over.
async fn hears(stream: &mut EventStream, kind: EventKind) -> SessionEvent {
    let wanted = async {
        loop {
            match stream.next().await.unwrap() {
                StreamItem::Event(event) if event.event == kind => return event,
                StreamItem::Event(_) => {}
                StreamItem::Reset(reset) => panic!("events are missing: {reset:?}"),
            }
        }
    };
    tokio::time::timeout(PATIENCE, wanted).await.unwrap_or_else(|_| panic!("waited in vain for {kind:?}"))
}

fn code<T: std::fmt::Debug>(outcome: Result<T, ClientError>) -> String {
    match outcome.unwrap_err() {
        ClientError::Service { why: Refusal::Conflict { code, .. }, .. } => code,
        other => other.to_string(),
    }
}

fn quiet(name: &str) -> CreateSession {
    CreateSession { session_type: "quiet".into(), ..CreateSession::named(name) }
}

fn filters(level: &str) -> SessionSearch {
    let filter = |key: &str, comparison, value: &str| Filter { key: key.into(), comparison, value: value.into() };
    let filters = vec![filter("map", Comparison::Eq, "harbour"), filter("level", Comparison::Gte, level)];
    SessionSearch { filters, ..SessionSearch::default() }
}

fn befriend(service: &Service<'_>, one: &str, other: &str) {
    let ((token, id), (other_token, other_id)) = (service.player(one), service.player(other));
    for (token, from, to) in [(&token, &id, &other_id), (&other_token, &other_id, &id)] {
        let url = format!("{}/friends/v2/player/{from}/friend/{to}", service.url());
        let bearer = format!("Bearer {token}");
        http::exchange("PUT", &url, &[("authorization", &bearer)], Some(&json!({}))).unwrap().ok();
    }
}

fn connects(world: &World, address: &str, player: PlayerUuid) -> Child {
    let log = world.log("players.log");
    let mut command = world.gameside(["practice", "join", address, "--name", "bob", "--uuid", &player.to_string()]);
    command.stdout(log.try_clone().unwrap()).stderr(log).spawn().unwrap()
}

#[test]
fn the_life_of_a_session() {
    let world = World::new();
    let service = Service::start_with_env(&world, QUIET, &[("GAMESIDE_LOG", "trace")]);
    let config = format!(
        "{}[allocation]\nprovider = \"sic\"\n[guards]\nno_show_timeout = \"1h\"\nempty_timeout = \"1h\"\n",
        service.agent_config()
    );
    let file = world.file("server.toml", &config);
    let mut agent = Agent::new(&world, "server", ["--config", file.to_str().unwrap()]);
    agent.env("GAMESIDE_LOG", "trace");
    agent.start();
    agent.wait("registration", |status| status["agent"]["registered"] == true);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(story(&world, &service, &agent));
    agent.stop();
    nothing_secret_is_logged(&world, &service.secret());
}

async fn story(world: &World, service: &Service<'_>, agent: &Agent<'_>) {
    let (ada, bob) = (Player::log_in(service, "ada").await, Player::log_in(service, "bob").await);
    let mut told = ada.listening().await;
    let created = create(&ada, &bob, &mut told).await;
    let id = created.session_id.clone();
    let address = a_server_serves_it(&ada, &bob, &id).await;
    update(&ada, &id, &mut told).await;
    let eve = discover_and_join(service, &ada, &bob, &id).await;
    presence(service, &ada, &bob, &id).await;
    assert_eq!(bob.sessions.get_resolved_connect_string(&id).await.unwrap(), address);

    // Connect, register, play.
    let mut playing = connects(world, &address, bob.uuid);
    agent.wait("a connected player", |status| status["players"] == 1);
    matchmaking(service, &id).await;
    members(service, &ada, &id).await;
    proc::signal(playing.id(), 2);
    playing.wait().unwrap();
    end(&ada, &bob, &eve, &id).await;
}

async fn create(ada: &Player, bob: &Player, told: &mut EventStream) -> Session {
    let mut wanted = quiet("match");
    wanted.join_policy = Some(JoinPolicy::InviteOnly);
    wanted.max_players = Some(4);
    wanted.custom_settings.extend([("map".into(), "harbour".into()), ("level".into(), "3".into())]);
    wanted.password = Some(SESSION_PASSWORD.into());
    let created = ada.sessions.create_session(wanted.clone()).await.unwrap();
    assert_eq!(created.teams.iter().map(|team| team.max_size).sum::<u32>(), 4);
    assert_eq!(created.teams[0].players[0].status, PlayerStatus::Leader);
    assert!(matches!(ada.sessions.create_session(wanted).await, Err(ClientError::NameTaken { .. })));
    assert_eq!(hears(told, EventKind::OnSessionJoined).await.session_id, created.session_id);
    assert_eq!(ada.sessions.get_session_by_name("match").await.unwrap().session_id, created.session_id);

    let wrong = JoinSession { password: Some("wrong".into()), ..JoinSession::default() };
    assert_eq!(code(bob.sessions.join_session("m", &created.session_id, wrong).await), "wrong_password");
    assert_eq!(bob.sessions.find_sessions(&filters("3")).await.unwrap(), [], "nobody can join it uninvited");
    created
}

async fn a_server_serves_it(ada: &Player, bob: &Player, id: &SessionId) -> String {
    let startup = StartupParams { map: "harbour".into(), ..StartupParams::default() };
    ada.sessions.request_dedicated_server("match", Some(startup)).await.unwrap();
    let mut seen = Vec::new();
    let note = |session: &Session| seen.extend(session.instance.as_ref().map(|instance| instance.join_status));
    let waiting = ada.sessions.wait_until_joinable(id, note);
    let address = tokio::time::timeout(PATIENCE, waiting).await.expect("a server").unwrap();
    assert_eq!(seen.last(), Some(&JoinStatus::Joinable));
    let outside = bob.sessions.get_resolved_connect_string(id).await.unwrap_err();
    assert!(matches!(outside, ClientError::NoConnectString { join_status: Some(JoinStatus::Joinable), .. }));
    address
}

async fn update(ada: &Player, id: &SessionId, told: &mut EventStream) {
    let open = SettingsUpdate {
        join_policy: Some(JoinPolicy::Public),
        max_players: Some(8),
        set: [("level".to_owned(), "4".to_owned())].into(),
        ..SettingsUpdate::default()
    };
    let session = ada.sessions.update_session_settings("match", open).await.unwrap();
    assert_eq!(session.custom_data.get("map").map(String::as_str), Some("harbour"), "what isn't named stays");
    assert_eq!(session.custom_data.get("level").map(String::as_str), Some("4"));
    assert_eq!(session.teams.iter().map(|team| team.max_size).sum::<u32>(), 8);
    while !hears(told, EventKind::OnSessionUpdated).await.changed.contains(&"custom_data".to_owned()) {}

    // Who comes back later goes on where it was.
    let mut resumed = ada.sessions.events(told.last_event_id().map(str::to_owned));
    let gone = SettingsUpdate {
        remove: vec!["nothing".into()],
        set: [("mode".into(), "duel".into())].into(),
        ..<_>::default()
    };
    ada.sessions.update_session_settings("match", gone).await.unwrap();
    assert_eq!(hears(&mut resumed, EventKind::OnSessionUpdated).await.session_id, *id);
}

async fn discover_and_join(service: &Service<'_>, ada: &Player, bob: &Player, id: &SessionId) -> Player {
    assert_eq!(bob.sessions.find_sessions(&filters("5")).await.unwrap(), []);
    let found = bob.sessions.find_sessions(&filters("4")).await.unwrap();
    assert_eq!(found, std::slice::from_ref(id));
    let joined = bob.sessions.join_session("with ada", &found[0], JoinSession::default()).await.unwrap();
    assert!(joined.teams.iter().flat_map(|team| &team.players).any(|player| player.player_uuid == bob.uuid));

    let (eve, moe) = (Player::log_in(service, "eve").await, Player::log_in(service, "moe").await);
    let mut invited = eve.listening().await;
    ada.sessions.send_session_invite("match", &[eve.uuid, moe.uuid]).await.unwrap();
    let event = hears(&mut invited, EventKind::OnSessionInviteReceived).await;
    let invites = eve.sessions.get_all_session_invites().await.unwrap();
    assert_eq!(invites.len(), 1);
    assert_eq!(event.invite_id, Some(invites[0].invite_id));
    let invite = eve.sessions.get_session_invite_by_id(invites[0].invite_id).await.unwrap();
    assert_eq!((&invite.session_id, invite.inviting_player_uuid), (id, Some(ada.uuid)));
    eve.sessions.join_session("match", &invite.session_id, JoinSession::default()).await.unwrap();
    hears(&mut invited, EventKind::OnUISessionJoinRequested).await;
    assert_eq!(eve.sessions.get_all_session_invites().await.unwrap(), []);

    let rejected = moe.sessions.get_all_session_invites().await.unwrap()[0].invite_id;
    moe.sessions.reject_session_invite(rejected).await.unwrap();
    let again = moe.sessions.reject_session_invite(rejected).await;
    assert_eq!(again, Err(ClientError::NoInvite { invite: rejected }));
    eve
}

async fn presence(service: &Service<'_>, ada: &Player, bob: &Player, id: &SessionId) {
    assert_eq!(ada.sessions.get_presence_session().await.unwrap(), None);
    ada.sessions.set_presence_session(id).await.unwrap();
    assert!(ada.sessions.is_presence_session(id).await.unwrap());
    assert_eq!(code(bob.sessions.get_presence_session_of(ada.uuid).await), "not_friends");
    befriend(service, "ada", "bob");
    assert_eq!(bob.sessions.get_presence_session_of(ada.uuid).await.unwrap().as_ref(), Some(id));
    ada.sessions.clear_presence_session().await.unwrap();
    assert_eq!(bob.sessions.get_presence_session_of(ada.uuid).await.unwrap(), None);
}

async fn matchmaking(service: &Service<'_>, id: &SessionId) {
    let zoe = Player::log_in(service, "zoe").await;
    let wanted = |name: &str, level: &str| Matchmaking { search: filters(level), create: quiet(name) };
    let (session, created) = zoe.sessions.start_matchmaking(wanted("found", "4")).await.unwrap();
    assert_eq!((&session.session_id, created), (id, false));
    let (session, created) = zoe.sessions.start_matchmaking(wanted("made", "9")).await.unwrap();
    assert!(created && session.session_id != *id);
    assert_eq!(zoe.sessions.get_all_sessions().await.unwrap().len(), 2);
    zoe.sessions.leave_session("made", Leaving::Leave).await.unwrap();
}

async fn members(service: &Service<'_>, ada: &Player, id: &SessionId) {
    let (yan, zoe) = (Player::log_in(service, "yan").await, Player::log_in(service, "zoe").await);
    let shut = SettingsUpdate { allow_new_members: Some(false), ..SettingsUpdate::default() };
    ada.sessions.update_session_settings("match", shut).await.unwrap();
    assert_eq!(code(yan.sessions.join_session("m", id, JoinSession::default()).await), "not_joinable");
    let open = SettingsUpdate { allow_new_members: Some(true), ..SettingsUpdate::default() };
    ada.sessions.update_session_settings("match", open).await.unwrap();
    let refused = code(ada.sessions.add_session_member("match", yan.uuid, None).await);
    assert!(refused.contains("player_not_agreed"), "{refused}");
    befriend(service, "ada", "yan");
    ada.sessions.add_session_member("match", yan.uuid, None).await.unwrap();
    assert_eq!(yan.sessions.get_all_sessions().await.unwrap()[0].session_id, *id);
    ada.sessions.remove_session_member("match", yan.uuid).await.unwrap();
    ada.sessions.remove_session_member("match", zoe.uuid).await.unwrap();
    assert!(yan.sessions.get_all_sessions().await.unwrap().is_empty());
    assert!(yan.sessions.add_session_member("match", yan.uuid, None).await.is_err(), "a name of ada's alone");
}

async fn end(ada: &Player, bob: &Player, eve: &Player, id: &SessionId) {
    eve.sessions.leave_session("match", Leaving::Leave).await.unwrap();
    assert!(eve.sessions.get_all_sessions().await.unwrap().is_empty());
    assert!(matches!(eve.sessions.named("match"), Err(ClientError::UnknownName { .. })));
    let refused = bob.sessions.leave_session("with ada", Leaving::Destroy).await.unwrap_err();
    assert!(refused.to_string().starts_with(&format!("could not destroy session {id}: not permitted")), "{refused}");

    let mut told = bob.listening().await;
    ada.sessions.leave_session("match", Leaving::Destroy).await.unwrap();
    let left = hears(&mut told, EventKind::OnSessionLeft).await;
    assert!(left.session_id == *id && left.destroyed);
    assert!(bob.sessions.get_session_by_name("with ada").await.unwrap_err().is_gone());
    assert!(bob.sessions.leave_session("with ada", Leaving::Leave).await.unwrap_err().is_gone());
    assert!(bob.sessions.names().is_empty(), "the name of a session that is gone is free");
    eve.sessions.keep("old", id.clone());
    let new = eve.sessions.create_session(quiet("old")).await.unwrap();
    assert_ne!(new.session_id, *id, "also if others ended it and the name was kept");
    assert!(matches!(eve.sessions.create_session(quiet("old")).await, Err(ClientError::NameTaken { .. })));
}

/// No password, no client's secret, no token of any kind (each begins as JSON in base64 does) in any log, nor in anything else that the
/// agent and its keeper have written.
fn nothing_secret_is_logged(world: &World, client_secret: &str) {
    let mut files = Vec::new();
    let mut dirs = vec![world.path().join("logs"), world.state_root().join("server")];
    while let Some(dir) = dirs.pop() {
        for path in std::fs::read_dir(&dir).unwrap().map(|entry| entry.unwrap().path()) {
            if path.is_dir() { dirs.push(path) } else { files.push(path) }
        }
    }
    let mut written = Vec::new();
    for file in files {
        // A socket can't be read.
        let Ok(text) = std::fs::read(&file) else { continue };
        let text = String::from_utf8_lossy(&text);
        for secret in [PASSWORD, SESSION_PASSWORD, client_secret, "eyJ"] {
            let found = text.lines().find(|line| line.contains(secret));
            assert!(found.is_none(), "{} has {secret:?}: {}", file.display(), found.unwrap_or_default());
        }
        if !text.is_empty() {
            written.push(file.file_name().unwrap().to_string_lossy().into_owned());
        }
    }
    for log in ["sessions.log", "server.log"] {
        assert!(written.iter().any(|name| name == log), "{log} is there to look at: {written:?}");
    }
}
