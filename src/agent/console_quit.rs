//! `[game.stop.quit]` by a remote console: the game is asked to end before anything is done to it.
//! A console that doesn't answer costs only the time that the step was given; the stop sequence
//! goes on.

use super::{
    config::{
        AgentConfig,
        game::{Quit, QuitBy},
    },
    settings::BadSetup,
};
use crate::{
    host::{environment, files, secrets},
    model::ordered::Ports,
    probes::rcon::{self, Dialect},
};
use secrecy::SecretString;
use std::{net::SocketAddr, time::Duration};
use tokio::task::JoinSet;

/// The longest password file that is read, in bytes.
const LONGEST: u64 = 16 * 1024;

/// How the game's console is reached.
#[derive(Debug)]
pub struct ConsoleQuit {
    console: Option<Console>,
    running: JoinSet<()>,
}

#[derive(Debug, Clone)]
struct Console {
    dialect: Dialect,
    /// Name of the console's port.
    port: String,
    at: SocketAddr,
    command: String,
    secret: secrets::Source,
    within: Duration,
}

impl ConsoleQuit {
    pub fn new(config: &AgentConfig, ports: &Ports) -> Result<Self, BadSetup> {
        // The password's places are `wanted`'s.
        let Quit { by, command, wait, port, host, password_file: _, password_credential: _, password_env: _ } =
            &config.game.stop.quit;
        let dialect = match by {
            QuitBy::SourceRcon => Dialect::Source,
            QuitBy::MinecraftRcon => Dialect::Minecraft,
            QuitBy::Nothing | QuitBy::Sdk | QuitBy::Stdin => {
                return Ok(ConsoleQuit { console: None, running: JoinSet::new() });
            }
        };
        let name = port.as_ref().unwrap_or(&config.addresses.port);
        let port = *ports.get(name).ok_or_else(|| BadSetup::no_port(name, ports))?;
        let secret = secrets::find(wanted(&config.game.stop.quit), environment::variable);
        let secret = secret.map_err(|source| BadSetup::NoRconPassword { source })?;
        let at = SocketAddr::new(*host, port);
        let console = Console { dialect, port: name.clone(), at, command: command.clone(), secret, within: wait.get() };
        Ok(ConsoleQuit { console: Some(console), running: JoinSet::new() })
    }

    /// From the next start on the game has these ports.
    pub fn set_ports(&mut self, ports: &Ports) {
        if let Some(console) = &mut self.console
            && let Some(port) = ports.get(&console.port)
        {
            console.at.set_port(*port);
        }
    }

    /// Asks, in the background. Must be called within a tokio runtime.
    pub fn ask(&mut self) {
        while self.running.try_join_next().is_some() {}
        let Some(console) = self.console.clone().filter(|_| self.running.is_empty()) else { return };
        self.running.spawn(async move {
            match console.tell().await {
                Ok(()) => tracing::info!(at = %console.at, command = console.command, "the game was asked to quit"),
                Err(why) => tracing::warn!(%why, "the game could not be asked to quit; the stop sequence goes on"),
            }
        });
    }
}

/// Why the console was not told.
#[derive(Debug, thiserror::Error)]
enum NotTold {
    #[error(transparent)]
    Password(files::BadFile),
    #[error(transparent)]
    Console(rcon::RconError),
}

impl Console {
    async fn tell(&self) -> Result<(), NotTold> {
        let password = match &self.secret {
            secrets::Source::Text(text) => text.clone(),
            secrets::Source::File(path) => {
                SecretString::from(files::read_text(path, LONGEST).map_err(NotTold::Password)?)
            }
        };
        let told = rcon::send_command(self.dialect, self.at, &password, &self.command, self.within).await;
        told.map_err(NotTold::Console)
    }
}

/// Where the console's password is looked for.
pub(crate) fn wanted(quit: &Quit) -> secrets::Wanted<'_> {
    secrets::Wanted {
        file: quit.password_file.as_deref(),
        credential: &quit.password_credential,
        variable: &quit.password_env,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_consoles_password_and_place_are_those_that_are_configured() {
        let quit = |text: &str| {
            let text = format!("[game.stop.quit]\nby = \"source-rcon\"\n{text}");
            ConsoleQuit::new(&toml::from_str(&text).unwrap(), &[("game".to_owned(), 1), ("rcon".to_owned(), 2)].into())
        };
        let text =
            "password_file = \"/secret\"\nport = \"rcon\"\nhost = \"127.0.0.9\"\ncommand = \"exit\"\nwait = \"7s\"\n";
        let console = quit(text).unwrap().console.unwrap();
        assert_eq!(console.at, "127.0.0.9:2".parse().unwrap());
        assert_eq!((console.command.as_str(), console.within.as_secs()), ("exit", 7));
        assert!(matches!(console.secret, secrets::Source::File(path) if path.ends_with("secret")));
        let console = quit("password_env = \"PATH\"\n").unwrap().console.unwrap();
        assert!(matches!(console.secret, secrets::Source::Text(_)) && console.at.port() == 1);
        let missing = quit("password_env = \"GAMESIDE_TEST_NO_SUCH\"\npassword_credential = \"c\"\n").unwrap_err();
        let said = missing.to_string();
        assert!(said.contains("GAMESIDE_TEST_NO_SUCH") && said.contains("\"c\""), "{said}");
    }
}
