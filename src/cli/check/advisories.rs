//! What is to be known about a configuration that isn't wrong: what is open to whom, and what isn't
//! there yet.

use crate::{
    agent::config::{AgentConfig, Loaded},
    core::launch,
    host::{environment, files, process, secrets},
    keeper::{self, Presence, config::KeeperMode},
    model::{
        policy::GameKind,
        process::{KeeperHello, StopAction, Users},
        units::Span,
    },
};
use std::{fs, os::unix::fs::MetadataExt as _, path::Path};

/// Everything that weakens a boundary, or will be missed at the start. `dir`: the agent's state directory, where a keeper may be that can be asked.
pub(super) fn security(loaded: &Loaded, dir: Option<&Path>) -> Vec<String> {
    let config = &loaded.config;
    let hello = dir.and_then(|dir| match keeper::probe(dir) {
        Presence::Here(hello) => Some(hello),
        Presence::None | Presence::Silent { .. } => None,
    });
    let mut notes = Vec::new();
    notes.extend(boundary(config, dir, hello.as_deref()));
    notes.extend(hello.and_then(|hello| gateways_user(&hello)));
    notes.extend(loaded.path.as_deref().and_then(|path| writable(path, "the configuration")));
    notes.extend(program(config));
    notes.extend(raw(config));
    notes.extend(client_secret(config));
    notes.extend(unsaved(config));
    notes.extend(config.api.operator_token_file.as_deref().and_then(|path| readable(path, "the operator's token")));
    notes
}

/// A world that nothing asks to save before it is signalled.
fn unsaved(config: &AgentConfig) -> Option<String> {
    let first = config.game.stop.steps().into_iter().next()?;
    let signalled = matches!(first.action, StopAction::Signal(_) | StopAction::Kill);
    let span = Span::from_secs(config.game.stop.steps().iter().map(|step| step.wait.as_secs()).sum());
    (config.kind().0 == GameKind::World && signalled).then(|| format!(
        "the world is stopped by a signal, and killed if it hasn't ended after {span} in all: one that doesn't save on that signal needs [game.stop.quit]"
    ))
}

/// Whether anything stands between the game and those who hold it.
fn boundary(config: &AgentConfig, dir: Option<&Path>, hello: Option<&KeeperHello>) -> Option<String> {
    let (root, keeper) = (process::is_root(), &config.keeper);
    match (keeper.mode, &keeper.user) {
        (KeeperMode::Connect, _) => connected(dir, hello),
        (KeeperMode::Spawn, Some(user)) if !process::may_switch_users() => Some(format!(
            "keeper.user = {user:?} needs a keeper that runs as root, or with CAP_SETUID, CAP_SETGID and CAP_KILL; started by this user it will refuse"
        )),
        (KeeperMode::Spawn, Some(user)) => (user == "root").then(|| "the game runs as root".to_owned()),
        (KeeperMode::Spawn, None) if root => Some(
            "the game runs as root, like keeper and agent: nothing stands between them; set keeper.user".to_owned(),
        ),
        (KeeperMode::Spawn, None) => Some(
            "the game runs as the same user as keeper and agent: nothing stands between them, it could end them and read what they can read; for a boundary run the keeper as root and set keeper.user, or use the systemd units".to_owned(),
        ),
    }
}

/// A keeper of its own unit or container decides who the game is. Where it runs, it is asked.
fn connected(dir: Option<&Path>, hello: Option<&KeeperHello>) -> Option<String> {
    let open = "the keeper's own command line says which user the game runs as (--user); if it is the keeper's or the agent's own, nothing stands between them";
    let Some((pid, users)) = hello.and_then(|hello| Some((hello.pid, hello.users?))) else {
        return Some(open.to_owned());
    };
    // An older keeper doesn't say who its agent is; that user has the directory.
    let agent = users.agent.or_else(|| Some(fs::metadata(dir?).ok()?.uid()));
    let whose = Users { agent, ..users }.whose_is_the_games()?;
    Some(format!(
        "the game of keeper {} runs as uid {}, as {whose}: nothing stands between them, it could end them and read what they can read; give the keeper --user",
        pid, users.game
    ))
}

/// A gateway that shares its user, though the game has one of its own.
fn gateways_user(hello: &KeeperHello) -> Option<String> {
    shared_gateway(hello.users.filter(|users| users.whose_is_the_games().is_none())?)
}

fn shared_gateway(users: Users) -> Option<String> {
    let (uid, whose) = (users.gateway?, users.whose_is_the_gateways()?);
    Some(format!(
        "the SDK gateway runs as uid {uid}, as {whose} does: a fault in what serves the game's SDK would reach what that user has; give the keeper --gateway-user with a user of its own"
    ))
}

/// A program that isn't there won't start, and one that others may replace runs whatever they put there. Where the keeper is another
/// container's, nothing can be said from here; nor of a name with something to fill in.
fn program(config: &AgentConfig) -> Option<String> {
    let name = config.game.command.first().filter(|name| !name.contains("{{") && !name.contains("{%"))?;
    let place = Path::new(name);
    let path = match &config.game.dir {
        _ if !name.contains('/') => return nowhere_in_path(name).filter(|_| config.keeper.mode == KeeperMode::Spawn),
        Some(dir) if place.is_relative() => Path::new(dir).join(place),
        _ => place.to_owned(),
    };
    let trouble = match fs::metadata(&path) {
        Err(error) => error.to_string(),
        Ok(about) if !about.is_file() => "it is no file".to_owned(),
        Ok(about) if about.mode() & 0o111 == 0 => "it isn't executable; chmod +x it".to_owned(),
        Ok(_) => return writable(&path, "the game's program"),
    };
    let shown = path.display();
    (config.keeper.mode == KeeperMode::Spawn)
        .then(|| format!("the game's program, {shown}, can't be started from here: {trouble}"))
}

/// Raw parameters of a session on the command line: whoever makes the session writes them.
fn raw(config: &AgentConfig) -> Option<String> {
    let uses = |text: &String| ["misc", "misc_args"].into_iter().find(|name| launch::uses(text, name));
    let (text, name) = config.game.command.iter().find_map(|text| Some((text, uses(text)?)))?;
    let consequence = match config.game.allow.get(name).map(|pattern| launch::whole(pattern)) {
        None => "without a pattern in [game.allow] a session that has any is refused".to_owned(),
        Some(Ok(pattern)) => {
            let evil = EVIL.into_iter().find(|text| pattern.is_match(text))?;
            format!("and the pattern in [game.allow] lets {evil:?} through; name the words that it may hold")
        }
        Some(Err(_)) => return None,
    };
    Some(format!("game.command has {text:?}: raw parameters, as players may write them; {consequence}"))
}

/// What no pattern for raw parameters should match.
const EVIL: [&str; 3] = ["+set rconpassword owned +exec evil.cfg", "?listen?exec=evil", "-log=/etc/passwd"];

fn nowhere_in_path(name: &str) -> Option<String> {
    let dirs = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&dirs).any(|dir| fs::metadata(dir.join(name)).is_ok_and(|about| about.is_file()));
    (!found).then(|| format!("the game's program, {name}, is nowhere in PATH; give its full path"))
}

fn client_secret(config: &AgentConfig) -> Option<String> {
    if config.session.is_local() {
        return None;
    }
    let given = &config.credentials;
    let wanted = secrets::Wanted {
        file: given.client_secret_file.as_deref(),
        credential: &given.client_secret_credential,
        variable: &given.client_secret_env,
    };
    match secrets::find(wanted, environment::variable) {
        Ok(secrets::Source::File(path)) => readable(&path, "the client's secret"),
        Ok(secrets::Source::Text(_)) => Some(format!(
            "the client's secret comes in the environment ({}): whatever starts the agent knows it, and hands it to what else it starts; a file or a credential is better",
            given.client_secret_env
        )),
        Err(missing) => Some(format!("{missing}, as seen from here; the agent won't start without one")),
    }
}

fn readable(path: &Path, what: &str) -> Option<String> {
    if let Err(error) = fs::metadata(path) {
        return Some(format!("{what}, {}, can't be read from here: {error}", path.display()));
    }
    match files::readable_by_others(path) {
        Some(true) => Some(format!("{what}, {}, can be read by others; chmod 600 it", path.display())),
        Some(false) => None,
        None => Some(format!("{what}, {}, can't be examined by this user", path.display())),
    }
}

fn writable(path: &Path, what: &str) -> Option<String> {
    let mode = fs::metadata(path).ok()?.mode();
    (mode & 0o022 != 0).then(|| format!("{what}, {}, can be changed by others; chmod go-w it", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agent::config::{Overrides, load};
    use std::os::unix::fs::PermissionsExt as _;

    fn notes(text: &str, mode: u32) -> String {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("agent.toml");
        let secret = dir.path().join("secret");
        fs::write(&secret, "x").unwrap();
        fs::set_permissions(&secret, fs::Permissions::from_mode(0o644)).unwrap();
        fs::write(&path, text.replace("SECRET", secret.to_str().unwrap())).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        security(&load(Some(&path), Vec::new(), Overrides::default()).unwrap(), Some(dir.path())).join("\n")
    }

    #[test]
    fn a_game_of_the_same_user_has_no_boundary_and_this_is_said() {
        assert!(notes("", 0o600).contains("nothing stands between them"));
        assert!(notes("[keeper]\nmode = \"connect\"\n", 0o600).contains("the keeper's own command line"));
    }

    #[test]
    fn a_gateway_that_shares_its_user_is_named_with_whom() {
        let said = |gateway| shared_gateway(Users { keeper: 1, game: 2, agent: Some(3), gateway });
        assert!(said(Some(2)).unwrap().contains("uid 2, as the game does"));
        assert!(said(Some(3)).unwrap().contains("uid 3, as the agent does"));
        assert!(said(Some(1)).unwrap().contains("as the keeper does"));
        assert_eq!((said(Some(4)), said(None)), (None, None));
    }

    #[test]
    fn what_others_can_read_or_change_is_named() {
        let text = "[session]\nurl = \"https://x.example\"\n[credentials]\nclient_id = \"a\"\nclient_secret_file = \"SECRET\"\n";
        let notes = notes(text, 0o666);
        assert!(notes.contains("the client's secret, ") && notes.contains("can be read by others"), "{notes}");
        assert!(notes.contains("the configuration, ") && notes.contains("can be changed by others"), "{notes}");
    }

    #[test]
    fn a_program_that_cannot_be_started_is_missed_before_the_start() {
        let command = |word: &str| format!("[game]\ncommand = [\"{word}\"]\n");
        assert!(
            notes(&command("/no/such/server"), 0o600).contains("/no/such/server, can't be started from here: No such")
        );
        assert!(notes(&command("no-such-server"), 0o600).contains("nowhere in PATH"));
        // The configuration itself: a file, not executable.
        assert!(notes(&command("SECRET"), 0o600).contains("isn't executable"));
        for good in ["/bin/sh", "sh", "/srv/{{map}}/server"] {
            assert!(!notes(&command(good), 0o600).contains("the game's program"), "{good}");
        }
        let elsewhere = "[keeper]\nmode = \"connect\"\n[game]\ncommand = [\"/no/such/server\"]\n";
        assert!(!notes(elsewhere, 0o600).contains("the game's program"));
    }

    #[test]
    fn raw_parameters_on_a_command_line_are_warned_of_unless_their_words_are_named() {
        let config = |pattern: &str| format!("[game]\ncommand = [\"sh\", \"{{{{misc_args}}}}\"]\n{pattern}");
        assert!(notes(&config(""), 0o600).contains("a session that has any is refused"));
        assert!(notes(&config("allow = { misc_args = '.*' }\n"), 0o600).contains("lets \"+set rconpassword"));
        let named = notes(&config("allow = { misc_args = '\\+set bots \\d' }\n"), 0o600);
        assert!(!named.contains("raw parameters"), "{named}");
        assert!(
            !notes("[game]\ncommand = [\"sh\", \"{{map}}\"]\n[session.startup]\nmap = \"m\"\n", 0o600).contains("raw")
        );
    }

    #[test]
    fn a_secret_that_is_nowhere_is_missed_before_the_start() {
        let text = "[session]\nurl = \"https://x.example\"\n[credentials]\nclient_id = \"a\"\nclient_secret_env = \"GAMESIDE_TEST_NO_SUCH\"\n";
        assert!(notes(text, 0o600).contains("the agent won't start without one"));
    }
}
