//! Options that say what a session is like, and conditions that sessions must meet.

use super::connect::player;
use crate::cli::startup::key_value;
use crate::{
    model::{
        discovery::{Comparison, Filter, SessionSearch},
        ids::{PlayerUuid, SessionId},
    },
    session_api::client::{CreateSession, JoinPolicy, SettingsUpdate},
};
use clap::ValueEnum;
use serde_json::Value;

/// Who may join without an invitation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Policy {
    /// Anyone can find and join the session
    Public,
    /// Friends of its members can
    Friends,
    /// Only those who were invited can
    Invite,
}

impl From<Policy> for JoinPolicy {
    fn from(policy: Policy) -> JoinPolicy {
        match policy {
            Policy::Public => JoinPolicy::Public,
            Policy::Friends => JoinPolicy::FriendsOnly,
            Policy::Invite => JoinPolicy::InviteOnly,
        }
    }
}

/// Whether new members are let in at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum NewMembers {
    Allow,
    Refuse,
}

/// Whether the session is in the session browser.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Listed {
    Yes,
    No,
}

/// Whether players who are under restrictions may join.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum SanctionedPlayers {
    Allow,
    Refuse,
}

/// What can be said when a session is created and changed later.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Settings")]
pub(crate) struct Settings {
    /// Who may join without an invitation
    #[arg(long, value_enum)]
    policy: Option<Policy>,
    /// Places for players in all
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=5000))]
    max_players: Option<u32>,
    /// The size of a team; once for each team, in place of --max-players
    #[arg(long = "team-size", value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100))]
    teams: Vec<u32>,
    /// Whether new members are let in at all, whatever the policy
    #[arg(long, value_enum)]
    new_members: Option<NewMembers>,
    /// A custom setting, which searches can filter by; may be repeated
    #[arg(long = "set", value_name = "KEY=VALUE", value_parser = key_value)]
    set: Vec<(String, String)>,
    /// List the session in the session browser, with this value; may be repeated
    #[arg(long = "list", value_name = "KEY=VALUE", value_parser = key_value)]
    browser: Vec<(String, String)>,
    /// Whether the session is in the session browser; searches find it too by those who could join it
    #[arg(long, value_enum)]
    listed: Option<Listed>,
    /// Where it is played
    #[arg(long)]
    region: Option<String>,
    /// Admits players who were not invited
    #[arg(long, env = "GAMESIDE_SESSION_PASSWORD", hide_env_values = true)]
    password: Option<String>,
}

impl Settings {
    fn is_listed(&self) -> Option<bool> {
        self.listed.map(|listed| listed == Listed::Yes)
    }

    fn listing(&self) -> Option<crate::model::CustomData> {
        (!self.browser.is_empty()).then(|| self.browser.iter().cloned().collect())
    }

    fn new_members(&self) -> Option<bool> {
        self.new_members.map(|new| new == NewMembers::Allow)
    }

    /// As a change; `remove`: custom settings that go.
    pub(crate) fn update(self, remove: Vec<String>) -> SettingsUpdate {
        SettingsUpdate {
            join_policy: self.policy.map(JoinPolicy::from),
            max_players: self.max_players,
            allow_new_members: self.new_members(),
            browser: self.listing(),
            is_listed: self.is_listed(),
            teams: (!self.teams.is_empty()).then_some(self.teams),
            set: self.set.into_iter().collect(),
            remove,
            region: self.region,
            password: self.password,
        }
    }
}

/// What can be said only when a session is created.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct NewSession {
    /// The session's type, as the service's configuration names it
    #[arg(long = "type", value_name = "TYPE", default_value = "default")]
    session_type: String,
    #[command(flatten)]
    settings: Settings,
    /// Never list the session outside the service's own network
    #[arg(long)]
    lan: bool,
    /// Whether players who are under restrictions may join; they may unless said otherwise
    #[arg(long, value_enum)]
    sanctioned_players: Option<SanctionedPlayers>,
}

impl NewSession {
    pub(crate) fn named(self, name: String) -> CreateSession {
        let settings = self.settings;
        CreateSession {
            name,
            session_type: self.session_type,
            join_policy: settings.policy.map(JoinPolicy::from),
            max_players: settings.max_players,
            allow_new_members: settings.new_members(),
            browser: settings.listing(),
            is_listed: settings.is_listed(),
            teams: settings.teams,
            lan: self.lan.then_some(true),
            allow_sanctioned_players: self.sanctioned_players.map(|word| word == SanctionedPlayers::Allow),
            custom_settings: settings.set.into_iter().collect(),
            region: settings.region,
            password: settings.password,
        }
    }
}

/// Conditions; all of them must hold.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Conditions {
    /// A condition on a custom setting; may be repeated: KEY=V, KEY!=V, KEY>V, KEY>=V, KEY<V, KEY<=V, KEY=V1,V2 (one of them),
    /// KEY!=V1,V2 (none of them), KEY~V (nearest first)
    #[arg(long = "where", value_name = "CONDITION", value_parser = condition, verbatim_doc_comment)]
    filters: Vec<Filter>,
    /// Sessions in which this player is (UUID or name)
    #[arg(long, value_name = "PLAYER", value_parser = player)]
    with: Option<PlayerUuid>,
    /// This session, if it fits the rest
    #[arg(long, value_name = "ID")]
    id: Option<SessionId>,
    /// Only LAN sessions
    #[arg(long)]
    only_lan: bool,
    /// Only sessions that are in the session browser
    #[arg(long)]
    only_listed: bool,
    /// Only sessions that take new members
    #[arg(long)]
    only_taking_members: bool,
    /// At most so many
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=200))]
    max: Option<u32>,
}

impl Conditions {
    pub(crate) fn search(self, session_type: Option<String>, region: Option<String>) -> SessionSearch {
        SessionSearch {
            session_type,
            region_id: region,
            filters: self.filters,
            player_uuid: self.with,
            session_id: self.id,
            lan: self.only_lan.then_some(true),
            is_listed: self.only_listed.then_some(true),
            allow_new_members: self.only_taking_members.then_some(true),
            max_results: self.max,
        }
    }
}

/// The longest operators first: each is looked for where the key ends.
const OPERATORS: [(&str, Comparison); 7] = [
    ("!=", Comparison::Ne),
    (">=", Comparison::Gte),
    ("<=", Comparison::Lte),
    (">", Comparison::Gt),
    ("<", Comparison::Lt),
    ("=", Comparison::Eq),
    ("~", Comparison::Near),
];

/// A text that is no condition.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected KEY=VALUE, or another of = != > >= < <= ~, found {0:?}")]
struct NoCondition(String);

fn condition(text: &str) -> Result<Filter, NoCondition> {
    let expected = || NoCondition(text.to_owned());
    let at = text.find(['=', '!', '<', '>', '~']).filter(|at| *at > 0).ok_or_else(expected)?;
    let (key, rest) = text.split_at(at);
    let (operator, comparison) =
        OPERATORS.into_iter().find(|(operator, _)| rest.starts_with(operator)).ok_or_else(expected)?;
    let value = &rest[operator.len()..];
    let several = || value.split(',').map(Value::from).collect::<Vec<_>>().into();
    let (comparison, value) = match comparison {
        Comparison::Eq if value.contains(',') => (Comparison::In, several()),
        Comparison::Ne if value.contains(',') => (Comparison::NotIn, several()),
        other => (other, Value::from(value)),
    };
    Ok(Filter { key: key.to_owned(), comparison, value })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn conditions_are_read_as_people_write_them() {
        let rows = [
            ("map=harbour", "map", Comparison::Eq, json!("harbour")),
            ("map!=a=b", "map", Comparison::Ne, json!("a=b")),
            ("level>=3", "level", Comparison::Gte, json!("3")),
            ("level>3", "level", Comparison::Gt, json!("3")),
            ("level<=-3.5", "level", Comparison::Lte, json!("-3.5")),
            ("level<3", "level", Comparison::Lt, json!("3")),
            ("skill~1500", "skill", Comparison::Near, json!("1500")),
            ("map=a,b", "map", Comparison::In, json!(["a", "b"])),
            ("map!=a,b", "map", Comparison::NotIn, json!(["a", "b"])),
        ];
        for (text, key, comparison, value) in rows {
            assert_eq!(condition(text), Ok(Filter { key: key.into(), comparison, value }), "{text}");
        }
        for text in ["", "map", "=x", "map!x"] {
            assert!(condition(text).is_err(), "{text}");
        }
    }
}
