//! Sessions for people, and as JSON for programs.

use super::OutputFormat;
use crate::{
    cli::terminal,
    host::escape::escape,
    model::{
        CustomData,
        ids::SessionId,
        player::PlayerStatus,
        session::{Joinability, Session},
    },
    session_api::client::host::connect_string,
};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// One session, with what this machine calls it.
pub(crate) fn session(form: OutputFormat, name: Option<&str>, session: &Session) {
    if form == OutputFormat::Json {
        say!("{}", value(name, session));
        return;
    }
    let mut rows = vec![("session", session.session_id.to_string())];
    rows.extend(name.map(|name| ("name", name.to_owned())));
    rows.push(("type", session.session_type.clone()));
    rows.push(("joinable by", policy(session.joinability.unwrap_or_default()).to_owned()));
    rows.push(("players", players(session)));
    rows.extend(session.short_code.clone().map(|code| ("short code", code)));
    rows.extend(session.region_id.clone().map(|region| ("region", region)));
    if !session.custom_data.is_empty() {
        rows.push(("settings", settings(&session.custom_data)));
    }
    if let Some(instance) = &session.instance {
        rows.push(("server", instance.join_status.word().to_owned()));
        rows.extend(instance.instance_startup_params.as_ref().map(|params| ("map", params.map.clone())));
    }
    rows.extend(connect_string(session).map(|address| ("connect to", address)));
    for (key, text) in rows {
        say!("{key:<12}  {}", escape(&text));
    }
}

/// A list of them.
pub(crate) fn sessions(form: OutputFormat, found: &[Session], names: &BTreeMap<String, SessionId>) {
    let name_of =
        |session: &Session| names.iter().find(|(_, id)| **id == session.session_id).map(|(name, _)| name.as_str());
    if form == OutputFormat::Json {
        let values: Vec<_> = found.iter().map(|session| value(name_of(session), session)).collect();
        say!("{}", Value::from(values));
        return;
    }
    let header = ["SESSION", "NAME", "TYPE", "PLAYERS", "JOINABLE BY", "SERVER", "SETTINGS"];
    let rows = found.iter().map(|session| {
        vec![
            escape(session.session_id.as_str()),
            escape(name_of(session).unwrap_or("-")),
            escape(&session.session_type),
            players(session),
            policy(session.joinability.unwrap_or_default()).to_owned(),
            session.instance.as_ref().map_or("-", |instance| instance.join_status.word()).to_owned(),
            escape(&settings(&session.custom_data)),
        ]
    });
    let rows: Vec<_> = std::iter::once(header.map(str::to_owned).to_vec()).chain(rows).collect();
    say_part!("{}", terminal::table(&rows));
}

/// Who is in it.
pub(crate) fn members(form: OutputFormat, session: &Session) {
    let all = session.teams.iter().enumerate().flat_map(|(number, team)| {
        team.players.iter().map(move |player| (team.team_id.unwrap_or(number as u32), player))
    });
    if form == OutputFormat::Json {
        let members: Vec<_> = all
            .map(|(team, player)| json!({ "player_uuid": player.player_uuid, "team": team, "status": player.status }))
            .collect();
        say!("{}", json!({ "session_id": session.session_id, "members": members }));
        return;
    }
    let rows = all.map(|(team, player)| {
        let status = match player.status {
            PlayerStatus::Leader => "leader",
            PlayerStatus::Member => "member",
            PlayerStatus::Invited => "invited",
            PlayerStatus::Reserved => "reserved",
        };
        vec![player.player_uuid.to_string(), team.to_string(), status.to_owned()]
    });
    let header = ["PLAYER", "TEAM", "STATUS"].map(str::to_owned).to_vec();
    say_part!("{}", terminal::table(&std::iter::once(header).chain(rows).collect::<Vec<_>>()));
}

fn value(name: Option<&str>, session: &Session) -> Value {
    let mut value = json!({ "session": session });
    if let Some(name) = name {
        value["name"] = name.into();
    }
    if let Some(address) = connect_string(session) {
        value["connect_string"] = address.into();
    }
    value
}

fn players(session: &Session) -> String {
    let active = session.teams.iter().flat_map(|team| &team.players).filter(|player| player.status.is_active()).count();
    let places: u32 = session.teams.iter().map(|team| team.max_size).sum();
    format!("{active}/{places}")
}

fn policy(joinability: Joinability) -> &'static str {
    match (joinability.open, joinability.friends) {
        (true, _) => "anyone",
        (false, true) => "friends",
        (false, false) => "invited",
    }
}

fn settings(data: &CustomData) -> String {
    data.iter().map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>().join(" ")
}
