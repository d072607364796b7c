//! The game's user, and how little of root's rights the keeper keeps.
//!
//! | keeper runs as | game runs as | boundary between the agent's user and root |
//! |---|---|---|
//! | root | `--user` | yes: the agent may only start what `--executable-root` allows, as that user |
//! | anybody with SETUID, SETGID, KILL | `--user` | yes, between the game and us |
//! | root | root | none, and allowed only where the agent is root too |
//! | anybody | the same | none needed |
//!
//! The gateway runs as `--gateway-user`, else as the agent's user where the keeper may become that,
//! else as the keeper does. It is root only where the agent is, and has no capability at all.
//!
//! A game of another user gets no capability at all: none is inheritable or ambient ([`shed`]), its
//! own sets are emptied before exec ([`surrender`]), and what exec could give back is shut twice:
//! by `no_new_privs`, and, where the keeper was started with CAP_SETPCAP, by an empty bounding set
//! ([`close_bounds`]).

use super::settings::Settings;
use rustix::{
    io::Errno,
    process::{DumpableBehavior, geteuid, set_dumpable_behavior},
    thread::{
        CapabilitySet, CapabilitySets, capabilities, clear_ambient_capability_set, remove_capability_from_bounding_set,
        set_capabilities, set_no_new_privs,
    },
};
use std::{fmt, fs, io};

/// Who the game runs as.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Account {
    pub(super) uid: u32,
    pub(super) gid: u32,
    pub(super) groups: Vec<u32>,
    pub(super) name: String,
    pub(super) home: String,
}

/// The users that are involved.
#[derive(Debug, Clone)]
pub(super) struct Identity {
    /// None: the game runs as the keeper does.
    pub(super) account: Option<Account>,
    /// Of the gateway. None: it runs as the keeper does.
    pub(super) gateway: Option<Account>,
    /// The one user who may give orders.
    pub(super) agent_uid: u32,
    /// The agent has fewer rights than the keeper: every path it names is checked.
    pub(super) guarded: bool,
}

/// The processes that are started as another user.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Subject {
    Game,
    Gateway,
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Subject::Game => "the game",
            Subject::Gateway => "the gateway",
        })
    }
}

/// Why it can't be said who the game is, or who it is isn't allowed.
#[derive(Debug, thiserror::Error)]
pub(super) enum IdentityError {
    #[error("--group needs --user")]
    GroupAlone,
    #[error(
        "uid {uid} can't start {what} as another user; run the keeper as root, or with CAP_SETUID, CAP_SETGID and CAP_KILL \
         as gameside-keeper@.service does"
    )]
    CannotSwitch { uid: u32, what: Subject },
    #[error(
        "an agent that isn't root would get root's rights through this keeper; \
         give --user and --executable-root, or run the keeper as the agent's user"
    )]
    OpenDoor,
    #[error(
        "{what} can't run as root where the agent isn't: user {uid}, group {gid}; \
         give it a user and groups of its own"
    )]
    RootForOthers { what: Subject, uid: u32, gid: u32 },
    #[error("no user `{0}` in /etc/passwd; a user of a directory service must be given by number")]
    NoUser(String),
    #[error("no group `{0}` in /etc/group")]
    NoGroup(String),
}

/// Rights that the keeper can't give up.
#[derive(Debug, thiserror::Error)]
#[error("{what}: {why}")]
pub(super) struct PrivilegeError {
    what: &'static str,
    why: Errno,
}

impl PrivilegeError {
    fn when(what: &'static str) -> impl FnOnce(Errno) -> PrivilegeError {
        move |why| PrivilegeError { what, why }
    }
}

impl Identity {
    /// Looks the users up.
    pub(super) fn of(settings: &Settings) -> Result<Identity, IdentityError> {
        let own = geteuid().as_raw();
        let agent_uid = settings.agent_uid.unwrap_or(own);
        let account = match &settings.user {
            None if settings.group.is_some() => return Err(IdentityError::GroupAlone),
            None => None,
            Some(name) => other(find(name, settings.group.as_deref())?, own, agent_uid, Subject::Game)?,
        };
        let guarded = own == 0 && agent_uid != 0;
        if guarded && (account.is_none() || settings.executable_roots.is_empty()) {
            return Err(IdentityError::OpenDoor);
        }
        let gateway = match &settings.gateway_user {
            Some(name) => other(find(name, None)?, own, agent_uid, Subject::Gateway)?,
            None if agent_uid != own && agent_uid != 0 && may_switch() => Some(find(&agent_uid.to_string(), None)?),
            None => None,
        };
        Ok(Identity { account, gateway, agent_uid, guarded })
    }
}

impl Identity {
    /// Whose user the gateway was given, if that is somebody else's too.
    pub(super) fn shared_gateway(&self) -> Option<&'static str> {
        let gateway = self.gateway.as_ref()?.uid;
        match &self.account {
            Some(game) if game.uid == gateway => Some("the game"),
            Some(_) | None => (gateway == self.agent_uid).then_some("the agent"),
        }
    }
}

/// A user that something is started as, if it is another than ours and we may.
fn other(account: Account, own: u32, agent_uid: u32, what: Subject) -> Result<Option<Account>, IdentityError> {
    if own != 0 && account.uid == own {
        return Ok(None);
    }
    if !may_switch() {
        return Err(IdentityError::CannotSwitch { uid: own, what });
    }
    // Also through a keeper that isn't root but may become it.
    if agent_uid != 0 && (account.uid == 0 || account.groups.contains(&0)) {
        return Err(IdentityError::RootForOthers { what, uid: account.uid, gid: account.gid });
    }
    Ok(Some(account))
}

/// The capabilities that a keeper keeps, as far as it has them.
pub(super) const KEEPER: CapabilitySet = CapabilitySet::SETUID.union(CapabilitySet::SETGID).union(CapabilitySet::KILL);

/// Root's rights, or those that systemd gave us, are enough to become another user.
fn may_switch() -> bool {
    let wanted = CapabilitySet::SETUID | CapabilitySet::SETGID;
    capabilities(None).is_ok_and(|held| held.effective.contains(wanted))
}

/// Gives up every capability but `keep`; undumpable, so that nobody of the same user reads our
/// memory or takes our descriptors.
pub(super) fn shed(keep: CapabilitySet) -> Result<(), PrivilegeError> {
    let held = capabilities(None).map_err(PrivilegeError::when("reading our capabilities"))?;
    let keep = keep & held.permitted;
    // With nothing inheritable there is nothing ambient either: the game gets none of these.
    let sets = CapabilitySets { effective: keep, permitted: keep, inheritable: CapabilitySet::empty() };
    set_capabilities(None, sets).map_err(PrivilegeError::when("giving up capabilities"))?;
    set_dumpable_behavior(DumpableBehavior::NotDumpable).map_err(PrivilegeError::when("becoming undumpable"))
}

/// Nothing that is executed from here on can get a capability from its file; what we hold stays ours. Without CAP_SETPCAP the
/// bounding set stays as it is.
pub(super) fn close_bounds() -> Result<(), PrivilegeError> {
    let held = capabilities(None).map_err(PrivilegeError::when("reading our capabilities"))?;
    if !held.effective.contains(CapabilitySet::SETPCAP) {
        return Ok(());
    }
    for capability in CapabilitySet::all().iter() {
        match remove_capability_from_bounding_set(capability) {
            // Newer than this kernel.
            Ok(()) | Err(Errno::INVAL) => {}
            Err(why) => return Err(PrivilegeError { what: "emptying the bounding set", why }),
        }
    }
    Ok(())
}

/// In the game's process, which has its user already: what another user than root keeps over a change of user is given up here,
/// not only by exec.
pub(super) fn surrender() -> io::Result<()> {
    match clear_ambient_capability_set() {
        // Kernels before 4.3 have none.
        Ok(()) | Err(Errno::INVAL) => {}
        Err(error) => return Err(error.into()),
    }
    let none = CapabilitySet::empty();
    set_capabilities(None, CapabilitySets { effective: none, permitted: none, inheritable: none })?;
    Ok(set_no_new_privs(true)?)
}

/// From `/etc/passwd` and `/etc/group` alone: asking a directory service would load half of libc.
fn find(user: &str, group: Option<&str>) -> Result<Account, IdentityError> {
    let passwd = fs::read_to_string("/etc/passwd").unwrap_or_default();
    let groups = fs::read_to_string("/etc/group").unwrap_or_default();
    let mut account = account(&passwd, user)?;
    if let Some(group) = group {
        account.gid = group_id(&groups, group)?;
    }
    account.groups = memberships(&groups, &account.name);
    if !account.groups.contains(&account.gid) {
        account.groups.push(account.gid);
    }
    Ok(account)
}

/// `name:x:uid:gid:comment:home:shell`
fn account(passwd: &str, wanted: &str) -> Result<Account, IdentityError> {
    let lines = passwd.lines().map(|line| line.split(':').collect::<Vec<_>>()).filter(|fields| fields.len() >= 6);
    for fields in lines {
        if let (true, Ok(uid), Ok(gid)) =
            (fields[0] == wanted || fields[2] == wanted, fields[2].parse(), fields[3].parse())
        {
            return Ok(Account { uid, gid, groups: Vec::new(), name: fields[0].into(), home: fields[5].into() });
        }
    }
    match wanted.parse() {
        Ok(id) => Ok(Account { uid: id, gid: id, groups: Vec::new(), name: wanted.into(), home: "/".into() }),
        Err(_) => Err(IdentityError::NoUser(wanted.to_owned())),
    }
}

/// `name:x:gid:member,member`
fn group_id(groups: &str, wanted: &str) -> Result<u32, IdentityError> {
    let named = groups.lines().map(|line| line.split(':').collect::<Vec<_>>()).find(|fields| fields[0] == wanted);
    named
        .and_then(|fields| fields.get(2)?.parse().ok())
        .or_else(|| wanted.parse().ok())
        .ok_or_else(|| IdentityError::NoGroup(wanted.to_owned()))
}

fn memberships(groups: &str, user: &str) -> Vec<u32> {
    let lines = groups.lines().map(|line| line.split(':').collect::<Vec<_>>());
    lines
        .filter(|fields| fields.get(3).is_some_and(|members| members.split(',').any(|member| member == user)))
        .filter_map(|fields| fields[2].parse().ok())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD: &str = "root:x:0:0:root:/root:/bin/sh\ngame:x:990:991:,,,:/srv/game:/usr/sbin/nologin\n";
    const GROUPS: &str = "root:x:0:\ngame:x:991:\nrender:x:44:other,game\nother:x:45:gamer\n";

    #[test]
    fn users_are_found_by_name_and_number() {
        let by_name = account(PASSWD, "game").unwrap();
        assert_eq!((by_name.uid, by_name.gid, by_name.home.as_str()), (990, 991, "/srv/game"));
        assert_eq!(account(PASSWD, "990").unwrap(), by_name);
        assert_eq!(account(PASSWD, "4242").unwrap().gid, 4242);
        assert!(account(PASSWD, "nobody-here").unwrap_err().to_string().contains("nobody-here"));
        assert_eq!(memberships(GROUPS, "game"), [44]);
        assert_eq!(group_id(GROUPS, "render").unwrap(), 44);
    }

    #[test]
    fn root_is_no_open_door() {
        if !geteuid().is_root() {
            let other = Settings { user: Some("root".into()), ..Settings::default() };
            assert!(Identity::of(&other).unwrap_err().to_string().contains("as another user"));
            return;
        }
        let open = Settings { agent_uid: Some(1000), ..Settings::default() };
        assert!(matches!(Identity::of(&open), Err(IdentityError::OpenDoor)));
        let closed = Settings { user: Some("4242".into()), executable_roots: vec!["/srv".into()], ..open };
        assert!(Identity::of(&closed).unwrap().guarded);
        for (user, group) in [("root", None), ("0", None), ("4242", Some("root"))] {
            let user = Some(user.to_owned());
            let root = Settings { user, group: group.map(str::to_owned), ..closed.clone() };
            assert!(matches!(Identity::of(&root), Err(IdentityError::RootForOthers { .. })), "{root:?}");
        }
        let root = Settings { gateway_user: Some("root".into()), ..closed.clone() };
        let why = Identity::of(&root).unwrap_err().to_string();
        assert!(why.contains("the gateway can't run as root"), "{why}");
        assert_eq!(Identity::of(&closed).unwrap().gateway.unwrap().uid, 1000, "the agent's");
        for (name, whose) in [("4343", None), ("4242", Some("the game")), ("1000", Some("the agent"))] {
            let named = Settings { gateway_user: Some(name.into()), ..closed.clone() };
            let identity = Identity::of(&named).unwrap();
            assert_eq!(
                (identity.gateway.as_ref().unwrap().uid.to_string().as_str(), identity.shared_gateway()),
                (name, whose)
            );
        }
    }
}
