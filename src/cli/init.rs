//! `gameside init`: a commented configuration to start from.
//!
//! The texts are made from the types and their defaults, as are the files in `config/` and
//! `docs/configuration.md`: a test compares them, and `UPDATE=1 cargo test` writes them anew.

use super::{error::Failure, exit::Exit};
use crate::{
    agent::config::AgentConfig, config::reference::Reference, frontends::agones::config::AgonesConfig, host::files,
    model::probe::Probe, service::settings::ServiceSettings,
};
use clap::ValueEnum as _;
use std::{io::Write as _, path::PathBuf};

/// Write a commented configuration.
///
/// Every key at its default, or a complete example for a kind of game.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// What it is for.
    #[arg(long = "for", value_name = "WHAT", default_value = "agent")]
    role: Role,
    /// Where to write it; `-` prints it [default: WHAT.toml].
    #[arg(value_name = "FILE")]
    file: Option<PathBuf>,
    /// Replace a file that is there.
    #[arg(long)]
    force: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Role {
    /// An agent and the game beside it.
    Agent,
    /// The session service.
    Sessions,
    /// OpenArena's dedicated server, which knows no SDK: by its query protocol.
    Openarena,
    /// An Unreal Engine server that reports its own instance.
    Unreal,
    /// A Unity server that calls Gameside's API.
    Unity,
    /// A Source engine server: queries, remote console.
    Source,
    /// A Minecraft server: its log, its console.
    Minecraft,
    /// A game that was built for PlayFab.
    Playfab,
    /// A game that was built for Agones, on a bare machine.
    Agones,
}

impl Role {
    fn text(self) -> String {
        match self {
            Role::Agent => agent_file(),
            Role::Sessions => sessions_file(),
            Role::Openarena => include_str!("../../config/openarena.toml").to_owned(),
            Role::Unreal => include_str!("../../config/unreal.toml").to_owned(),
            Role::Unity => include_str!("../../config/unity.toml").to_owned(),
            Role::Source => include_str!("../../config/source.toml").to_owned(),
            Role::Minecraft => include_str!("../../config/minecraft.toml").to_owned(),
            Role::Playfab => include_str!("../../config/playfab.toml").to_owned(),
            Role::Agones => include_str!("../../config/agones.toml").to_owned(),
        }
    }
    fn file(self) -> PathBuf {
        let name = self.to_possible_value().map(|value| value.get_name().to_owned());
        PathBuf::from(name.unwrap_or_default()).with_extension("toml")
    }
    /// What to type next.
    fn next(self, file: &str) -> String {
        match self {
            Role::Sessions => {
                format!("gameside check --service --config {file}, then gameside sessions --config {file}")
            }
            Role::Agent
            | Role::Openarena
            | Role::Unreal
            | Role::Unity
            | Role::Source
            | Role::Minecraft
            | Role::Playfab
            | Role::Agones => {
                format!("gameside check --config {file}, then gameside run --config {file}")
            }
        }
    }
}

pub(crate) fn run(args: &Args) -> Result<Exit, Failure> {
    let file = args.file.clone().unwrap_or_else(|| args.role.file());
    let text = args.role.text();
    if file.as_os_str() == "-" {
        std::io::stdout().write_all(text.as_bytes())?;
        return Ok(Exit::Done);
    }
    let shown = file.display().to_string();
    if args.force {
        files::write(&file, text.as_bytes(), 0o644)?;
    } else {
        files::create(&file, text.as_bytes(), 0o644).map_err(|error| {
            let what_to_do = if error.is_there() { "; --force replaces it" } else { "" };
            Failure::new(Exit::Failed, format!("{error}{what_to_do}"))
        })?;
    }
    say!("{shown} is written. Next: {}", args.role.next(&shown));
    Ok(Exit::Done)
}

/// `config/agent.toml`
pub(crate) fn agent_file() -> String {
    agent().toml(
        "The agent's configuration: every key, at its default. A line that starts with '# key =' is a key without a default, with an example.\n\
         Everything may be left out. Environment variables override it: GAMESIDE_GAME__START=at-boot.\n\
         `gameside check --config FILE` reports all faults at once.",
    )
}

/// `config/sessions.toml`
pub(crate) fn sessions_file() -> String {
    sessions().toml(
        "The session service's configuration: every key, at its default. A line that starts with '# key =' is a key without a default, with an example.\n\
         Everything may be left out. Environment variables override it: GAMESIDE_SESSIONS__TIMINGS__SESSION_TTL=10m.\n\
         `gameside check --service --config FILE` reports all faults at once.",
    )
}

fn agent() -> Reference {
    let (probe, agones) = (Some(Probe::default()), Some(AgonesConfig::default()));
    Reference::of(&AgentConfig { probe, agones, ..AgentConfig::default() })
}

fn sessions() -> Reference {
    Reference::of(&ServiceSettings::default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{config::reference::chapter::markdown, model::section::Answers};

    fn chapter() -> String {
        let head = include_str!("configuration.md").trim_end();
        let agent = markdown(&agent(), &Answers::of::<AgentConfig>());
        let sessions = markdown(&sessions(), &Answers::of::<ServiceSettings>());
        format!(
            "{head}\n\n# The agent's file\n\n{}\n\n# The session service's file\n\n{}\n",
            agent.trim_end(),
            sessions.trim_end()
        )
    }
    use crate::{
        agent::{config::Overrides, validate},
        config::read::read_text,
    };
    use std::{fs, path::Path};

    /// Compares a file of the repository with what the types say, or writes it (`UPDATE=1`).
    fn is_up_to_date(file: &str, text: &str) {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
        if std::env::var_os("UPDATE").is_some() {
            fs::write(&path, text).unwrap();
        }
        let found = fs::read_to_string(&path).unwrap_or_default();
        assert!(
            found == text,
            "{file} doesn't say what the types say; write it with: UPDATE=1 cargo test --lib cli::init"
        );
    }

    #[test]
    fn the_files_in_the_repository_say_what_the_types_say() {
        is_up_to_date("config/agent.toml", &agent_file());
        is_up_to_date("config/sessions.toml", &sessions_file());
        is_up_to_date("docs/configuration.md", &chapter());
    }

    #[test]
    fn every_example_passes_the_check_and_has_its_page() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        for role in Role::value_variants().iter().filter(|role| !matches!(role, Role::Agent | Role::Sessions)) {
            let file = root.join("config").join(role.file());
            assert_eq!(fs::read_to_string(&file).unwrap(), role.text());
            let loaded = validate::load(Some(&file), Vec::new(), Overrides::default());
            let loaded = loaded.unwrap_or_else(|report| panic!("{}: {report}", file.display()));
            assert_eq!(loaded.warnings, [""; 0], "{}", file.display());
            let name = role.file().with_extension("");
            assert_eq!(Path::new(&loaded.config.agent.name), name);
            let page = root.join("docs").join(name).with_extension("md");
            let page = fs::read_to_string(&page).unwrap_or_else(|error| panic!("{}: {error}", page.display()));
            assert!(page.contains(&format!("config/{}", role.file().display())));
        }
    }

    #[test]
    fn the_written_files_are_the_defaults() {
        let agent = read_text::<AgentConfig>("agent.toml", &agent_file(), "GAMESIDE_", &[]);
        assert_eq!(agent.problems, []);
        assert_eq!(agent.value, AgentConfig::default());
        let sessions = read_text::<ServiceSettings>("sessions.toml", &sessions_file(), "GAMESIDE_SESSIONS__", &[]);
        assert_eq!(sessions.problems, []);
        assert_eq!(sessions.value, ServiceSettings::default());
    }

    /// `# key = value` and `# [section]` put in force.
    fn with_examples(text: &str) -> String {
        let in_force = |line: &str| -> Option<String> {
            let rest = line.strip_prefix("# ")?;
            let key = match rest.split_once(" = ") {
                Some((key, _)) => key,
                None => rest.strip_prefix('[')?,
            };
            let is_key = key.chars().all(|c| c.is_ascii_lowercase() || matches!(c, '_' | '.' | ']'));
            is_key.then(|| rest.to_owned())
        };
        text.lines().fold(String::new(), |all, line| all + &in_force(line).unwrap_or_else(|| line.to_owned()) + "\n")
    }

    #[test]
    fn every_example_in_the_written_files_is_one() {
        let text = with_examples(&agent_file());
        assert!(text.contains("\n[probe]\n") && text.contains("\nregion = "), "{text}");
        let agent = read_text::<AgentConfig>("agent.toml", &text, "GAMESIDE_", &[]);
        assert_eq!(agent.problems, []);
        assert_ne!(agent.value, AgentConfig::default());
    }

    #[test]
    fn a_file_that_is_there_is_not_replaced_unasked() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("agent.toml");
        let args = |force| Args { role: Role::Agent, file: Some(file.clone()), force };
        run(&args(false)).unwrap();
        fs::write(&file, "mine").unwrap();
        let refused = run(&args(false)).unwrap_err();
        assert!(refused.to_string().contains("--force"), "{refused}");
        assert_eq!(fs::read_to_string(&file).unwrap(), "mine");
        run(&args(true)).unwrap();
        assert_eq!(fs::read_to_string(&file).unwrap(), agent_file());
    }
}
