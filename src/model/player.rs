//! Players as members of a session.

use super::{
    CustomData,
    ids::{PlayerUuid, SessionId},
    session::TeamOverflow,
    time::Timestamp,
    wire::{
        JsonCursor, Rule, ValidationErrors,
        rules::{Listed, Own, any_text, count, list, listed, map_of, one_of, text, whole},
        wire, words,
    },
};
use semver::Version;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use uuid::Uuid;

/// What a player is in a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PlayerStatus {
    Leader,
    #[default]
    Member,
    Invited,
    /// A place is held; the player isn't told unless the template says so.
    Reserved,
}

impl PlayerStatus {
    /// Leaders and members are in the session; the others only may become so.
    pub fn is_active(self) -> bool {
        matches!(self, PlayerStatus::Leader | PlayerStatus::Member)
    }
}

/// What may be granted to a player within a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SessionPermission {
    Invite,
    Kick,
    Move,
}

words!(PlayerStatus, SessionPermission);

/// The platforms that the contract knows.
pub const PLATFORMS: &[&str] = &[
    "Anon",
    "Basic",
    "XboxLive",
    "PSN",
    "NintendoNAID",
    "NintendoSwitch",
    "NintendoPPID",
    "Google",
    "GooglePlay",
    "Apple",
    "Epic",
    "Steam",
    "Amazon",
    "Twitch",
    "RallyHere",
    "LegacyName",
    "AndroidDevice",
    "iosDevice",
    "Discord",
];

/// The deprecated numbers of platforms.
const PLATFORM_NUMBERS: [(&str, i64); 13] = [
    ("Anon", 2),
    ("Amazon", 4),
    ("Steam", 5),
    ("PSN", 9),
    ("XboxLive", 10),
    ("Basic", 11),
    ("Google", 13),
    ("Twitch", 16),
    ("NintendoSwitch", 22),
    ("Apple", 24),
    ("LegacyName", 26),
    ("Epic", 28),
    ("NintendoNAID", 25),
];

/// The deprecated number of a platform, if it has one.
pub fn platform_number(platform: &str) -> Option<i64> {
    PLATFORM_NUMBERS.iter().find(|(known, _)| *known == platform).map(|(_, number)| *number)
}

/// The deprecated number of a platform. A number that no platform has is passed over.
#[derive(Debug, Clone, Copy)]
pub struct PlatformNumber;

impl Rule<i64> for PlatformNumber {
    fn read(&self, at: JsonCursor<'_>, errors: &mut ValidationErrors) -> Option<i64> {
        let number: i64 = whole(0, 1000).read(at, errors)?;
        PLATFORM_NUMBERS.iter().any(|(_, known)| *known == number).then_some(number)
    }
    #[cfg(test)]
    fn schema(&self, _: &mut super::wire::schema::Schemas) -> serde_json::Value {
        serde_json::json!({ "type": "integer", "enum": PLATFORM_NUMBERS.map(|(_, number)| number) })
    }
}

wire! {
    /// What a player plays with.
    pub struct ClientSettings [derive(Eq, Default)] {
        required input: String = one_of(&["keyboardandmouse", "gamepad", "touch"]);
        optional platform: String = one_of(PLATFORMS);
        /// The deprecated number of the platform.
        optional platform_id: i64 = PlatformNumber;
        optional device_type: String = one_of(&["pc", "xbox_series", "xbox_one", "web"]);
    }
}

impl ClientSettings {
    /// Somebody at keyboard and mouse.
    pub fn on(platform: &str) -> ClientSettings {
        let (input, platform) = ("keyboardandmouse".to_owned(), Some(platform.to_owned()));
        ClientSettings { input, platform, ..ClientSettings::default() }
    }
}

wire! {
    /// With whom a player wants to play.
    pub struct CrossplayPreferences [derive(Eq, Default)] {
        required permitted_platform: String = one_of(
            &["desired_platforms_any", "desired_platforms_xboxlike", "desired_platforms_playstationlike"]
        );
        required permitted_input: String = one_of(&[
            "desired_inputs_any",
            "desired_inputs_keyboardandmouse",
            "desired_inputs_gamepad",
            "desired_inputs_touch"
        ]);
    }
}

wire! {
    /// One player of a session.
    pub struct SessionPlayer [derive(Eq)] {
        /// The player's legacy number.
        optional player_id: i64 = whole(i64::MIN, i64::MAX);
        required player_uuid: PlayerUuid;
        required status: PlayerStatus;
        optional inviting_player_uuid: PlayerUuid;
        optional source_session_id: SessionId;
        sparse custom_data: CustomData;
        optional version: Version;
        optional client_settings: ClientSettings;
        optional crossplay_preferences: CrossplayPreferences;
        optional invited: Timestamp;
        optional joined: Timestamp;
        sparse session_permissions: Vec<SessionPermission> = listed();
    }
}

wire! {
    /// A team: its players and its size.
    pub struct SessionTeam [derive(Eq)] {
        required players: Vec<SessionPlayer> = listed();
        required max_size: u32 = whole(1, 100);
        optional team_id: u32 = count();
        optional ticket_ids: Vec<String> = Listed(any_text());
        optional custom_data: CustomData;
    }
}

wire! {
    /// A page of a session's players, team by team. `cursor` leads to the next page; 0 is the end.
    pub struct PlayersPage [derive(Eq)] {
        always teams: Vec<SessionTeam> = listed();
        required cursor: u32 = count();
    }
}

wire! {
    /// A player joins, or says anew what it says of itself.
    pub struct SelfSessionPlayerUpdateRequest [derive(Eq)] {
        /// Accepted and not used.
        optional status: PlayerStatus;
        required client_version: Version;
        required client_settings: ClientSettings;
        required team_id: u32 = count();
        optional crossplay_preferences: CrossplayPreferences;
        sparse custom_data: CustomData;
        optional password: Password = text(1, 128);
        /// The friend in the session who opens it; without one, any friend does.
        optional friend_uuid: PlayerUuid;
    }
}

wire! {
    /// Adds, invites, moves or promotes a player, as the wanted status and the player's own say.
    pub struct SessionPlayerUpdateRequest [derive(Eq)] {
        /// Without one, a player who is there keeps its own; another becomes a member.
        optional status: PlayerStatus;
        optional team_id: u32 = count();
        sparse custom_data: CustomData;
        /// `fail`, unless said otherwise.
        optional overflow_action: TeamOverflow;
    }
}

impl SessionPlayerUpdateRequest {
    /// Makes the player a member; without a team, of the one that the service picks.
    pub fn member(team_id: Option<u32>) -> Self {
        let (status, custom_data) = (Some(PlayerStatus::Member), CustomData::new());
        SessionPlayerUpdateRequest { status, team_id, custom_data, overflow_action: None }
    }
}

wire! {
    /// What became of a player.
    pub struct UpdatedPlayer [derive(Eq)] {
        required player_uuid: PlayerUuid;
        required status: PlayerStatus;
        required team_id: u32 = count();
        sparse custom_data: CustomData;
    }
}

wire! {
    /// What became of several players.
    pub struct UpdatedPlayers [derive(Eq)] {
        required players: Vec<UpdatedPlayer> = listed();
    }
}

wire! {
    /// Invites a player.
    pub struct PlayerInviteRequest [derive(Eq, Default)] {
        optional team_id: u32 = count();
        /// `fail`, unless said otherwise.
        optional overflow_action: TeamOverflow;
        sparse custom_data: CustomData;
        /// Extension: more players, invited together or not at all.
        sparse player_uuids: Vec<PlayerUuid> = list(0, 100);
    }
}

wire! {
    /// The team to move to; without one, the emptiest other.
    pub struct MoveRequest [derive(Eq, Default)] {
        optional team_id: u32 = count();
    }
}

wire! {
    /// What a player is described by.
    pub struct PlayerDescription [derive(Eq, Default)] {
        optional custom_data: CustomData;
    }
}

wire! {
    /// Two players who change places.
    pub struct SwapRequest [derive(Eq)] {
        required players: Vec<PlayerUuid> = list(2, 2);
    }
}

wire! {
    /// What a player was given within a session.
    pub struct PlayerPermissions [derive(Eq)] {
        required player_uuid: PlayerUuid;
        always permissions: Vec<SessionPermission> = listed();
    }
}

wire! {
    /// A player's sessions, by type.
    pub struct PlayerSessions [derive(Eq, Default)] {
        always sessions: BTreeMap<String, PlayerSessionsOfType> = map_of(usize::MAX, Own);
    }
}

wire! {
    /// A player's sessions of one type.
    pub struct PlayerSessionsOfType [derive(Eq, Default)] {
        always session_type ("type"): String = any_text();
        /// Where the player is a member.
        always session_ids: Vec<SessionId> = listed();
        /// By session.
        always pending_invites: BTreeMap<String, PendingInvite> = map_of(usize::MAX, Own);
        /// Where a place is held, if the session's type tells.
        always reserved_sessions: Vec<SessionId> = listed();
    }
}

wire! {
    /// An invite that waits for an answer.
    pub struct PendingInvite [derive(Eq)] {
        required session_id: SessionId;
        optional inviting_player_uuid: PlayerUuid;
        /// Extension: the invite's own id.
        optional invite_id: Uuid;
    }
}

/// A session's password. It is never shown, not even in a log.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Password(String);

impl Password {
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl From<String> for Password {
    fn from(text: String) -> Password {
        Password(text)
    }
}

impl std::fmt::Debug for Password {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("[hidden]")
    }
}
